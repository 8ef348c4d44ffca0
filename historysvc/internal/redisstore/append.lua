#!lua
-- Appends a batch of one group: stores its messages, each only once, and puts
-- all of it on the bus, in order.
--
-- KEYS  list, meta, links, index0, index1, recalls, then, if the bus is to hear of
--       it by announce.lua, pending, and last, if there is one, the archive
-- ARGV  1 cap, messages
--       2 default ttl, ms, 0 none
--       3 link of this batch
--       4 PUBLISH or SPUBLISH
--       5 letters, usually none: c the cap holds for adopted lists too, t so does the ttl,
--         a there is an archive
--       6 what is rarely needed, fixed widths: epoch (16), if counters must be made, link of the
--         beginning (4), likewise, now, ms (16), hard limit of one index generation, entries
--         (16), about how many entries the archive keeps (16)
--       7.. per packet: digest (12 bytes), head as the bus has it, see decodePayload, for a message who
--           stored it, author (8) and Unix seconds (4), if that is kept, and the packet.
--           At most 128 packets, at least one message (kind 1) among them. The digest of others is not read.
-- Reply {epoch, seq of the first message that was stored, 1 if a flood made the
--        index forget too soon, else 0, then, with pending, the number of its last
--        payload, then per duplicate: its place in the batch (from 0), its seq, which is
--        negative if that message has been recalled}
-- Error ADOPT: the list has no counters, see adopt.lua. WRONGTYPE. ARCHIVE: it cannot be written.
--       Nothing was done.
--
-- The reads come first and the first write is the one that can fail, so a
-- failure leaves nothing half done. Written for speed: a busy group spends
-- most of its Redis time here, and a script pays more for its arguments and
-- tables than for most commands.
local call, byte, sub, find = redis.call, string.byte, string.sub, string.find
local KEYS, ARGV = KEYS, ARGV
local list, meta = KEYS[1], KEYS[2]
local link, options, rare = ARGV[3], ARGV[5], ARGV[6]
local first, args = 7, #ARGV
local archive = find(options, 'a', 1, true) and KEYS[#KEYS]
local owned = archive and #KEYS - 1 or #KEYS -- keys of the group
local pending = owned > 6 and KEYS[7]

-- What the list of links keeps of a message, and its head on the bus.
local function split(head)
  if #head > 25 then
    return sub(head, 1, 20) .. sub(head, 26), sub(head, 1, 25)
  end
  return sub(head, 1, 20), head
end

local m = call('HMGET', meta, 'seq', 'link', 'epoch', 'base', 'gen', 'gens', 'geno', 'exp')
local fresh = not m[1]
if fresh then
  if call('LLEN', list) > 0 then
    return redis.error_reply('ADOPT the list has no counters')
  end
  m = {0, sub(rare, 17, 20), sub(rare, 1, 16), '0', 0, 0, 0, false}
end
local seq, prev, epoch, adopted = tonumber(m[1]), m[2], m[3], m[4] ~= '0'
local gen, gens, geno = tonumber(m[5]), tonumber(m[6]), tonumber(m[7])
local before = seq

-- Which of them are known? The others are numbered, and what the bus will carry
-- is written down. One message alone, as most calls have when there is little to
-- do, needs no tables.
local one = first + 3 > args
local stored, duplicates = 0, nil
local text, entry, digest, head -- of one
local texts, entries, index, bus -- of more; the bus's first is written last
if one then
  digest, head, text = ARGV[first], ARGV[first + 1], ARGV[first + 2]
  local known = not fresh and (call('HGET', KEYS[4 + gen], digest)
    or gens > geno and call('HGET', KEYS[5 - gen], digest))
  if known then
    duplicates = {0, tonumber(known)}
  else
    seq, stored = seq + 1, 1
    entry, head = split(head)
  end
else
  local newer, older
  if not fresh then
    local digests, n = {}, 0
    for i = first, args, 3 do
      if byte(ARGV[i + 1], 21) == 1 then
        n = n + 1
        digests[n] = ARGV[i]
      end
    end
    newer = call('HMGET', KEYS[4 + gen], unpack(digests))
    if gens > geno then
      older = call('HMGET', KEYS[5 - gen], unpack(digests))
    end
  end
  texts, entries, index, bus = {}, {}, {}, {''}
  local seen, k = {}, 0
  for i = first, args, 3 do
    digest, head, text = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    local known = false
    if byte(head, 21) == 1 then
      k = k + 1
      known = seen[digest] or newer and newer[k] or older and older[k]
      if known then
        duplicates = duplicates or {}
        duplicates[#duplicates + 1] = (i - first) / 3
        duplicates[#duplicates + 1] = tonumber(known)
      else
        seq, stored = seq + 1, stored + 1
        seen[digest] = seq
        texts[stored] = text
        entries[stored], head = split(head)
        index[2 * stored - 1], index[2 * stored] = digest, seq
      end
    end
    if not known then
      local n = #bus
      bus[n + 1], bus[n + 2] = head, text
    end
  end
end

local cut = 0
if stored > 0 then
  local cap = tonumber(ARGV[1])
  local slack = 600000 -- our keys outlive the list by this, ms; also the least age of an index generation
  local renew = before == gens -- the index is made now, without an expiry
  local len = one and call('LPUSH', list, text) or call('LPUSH', list, unpack(texts))
  for i = 1, archive and stored or 0 do
    local added = redis.pcall('XADD', archive, 'MAXLEN', '~', tonumber(sub(rare, 53, 68)), '*',
      'kind', 'message', 'group', list, 'epoch', epoch, 'seq', before + i, 'text', one and text or texts[i])
    if added.err then -- the first fails, or none
      call('LTRIM', list, stored, -1)
      return redis.error_reply('ARCHIVE it cannot be written')
    end
  end
  if fresh then
    call('UNLINK', unpack(KEYS, 3, owned))
    call('LPUSH', KEYS[3], prev .. string.rep('\0', 16))
    call('HSET', meta, 'seq', seq, 'link', link, 'epoch', epoch, 'base', 0,
      'gen', 0, 'gens', 0, 'geno', 0, 'gent', tonumber(sub(rare, 21, 36)), 'exp', 0, 'recalls', 0)
  else
    call('HSET', meta, 'seq', seq, 'link', link)
  end
  local llen = one and call('LPUSH', KEYS[3], entry) or call('LPUSH', KEYS[3], unpack(entries))

  -- A new generation of the index, when this one alone remembers enough.
  if before - gens >= cap then
    local now = tonumber(sub(rare, 21, 36))
    local age = now - tonumber(call('HGET', meta, 'gent'))
    if age >= slack or before - gens >= tonumber(sub(rare, 37, 52)) then
      if age < slack then
        cut = 1
      end
      gen, renew = 1 - gen, true
      call('UNLINK', KEYS[4 + gen])
      call('HSET', meta, 'gen', gen, 'gens', before, 'geno', gens, 'gent', now)
    end
  end
  if one then
    call('HSET', KEYS[4 + gen], digest, seq)
  else
    call('HSET', KEYS[4 + gen], unpack(index))
  end

  -- Trim: at most 1000 at once beyond what came in.
  if len > cap and (not adopted or find(options, 'c', 1, true)) then
    call('LTRIM', list, 0, math.max(cap, len - 1000) - 1)
  end
  if llen > cap + 1 then
    call('LTRIM', KEYS[3], 0, math.max(cap + 1, llen - 1000) - 1)
  end

  -- Expire. A ttl of the group's own is in force already: ttl.lua sees to that.
  local ttl, was = (not adopted or find(options, 't', 1, true)) and ARGV[2] or '0', m[8] or '0'
  if ttl ~= was then
    ttl = call('HGET', meta, 'ttl') or ttl
  end
  if ttl ~= was then
    call('HSET', meta, 'exp', ttl)
    renew = true
  end
  if ttl ~= '0' then
    call('PEXPIRE', list, ttl)
    if renew or call('PTTL', meta) < tonumber(ttl) + slack then
      for i = 2, owned do
        call('PEXPIRE', KEYS[i], tonumber(ttl) + 2 * slack)
      end
    end
  elseif was ~= '0' then
    for i = 1, owned do
      call('PERSIST', KEYS[i])
    end
  end
else
  link = prev
end

if duplicates then
  for i = 2, #duplicates, 2 do
    local text = call('LINDEX', list, seq - duplicates[i])
    if text and sub(text, 1, 22) == '{"type":1,"command":6,' then
      duplicates[i] = -duplicates[i]
    end
  end
end

local payload
if one and stored > 0 then
  payload = 'M' .. epoch .. string.format('%016d', before + 1) .. prev .. link .. head .. text
elseif not one and #bus > 1 then
  bus[1] = 'M' .. epoch .. string.format('%016d', before + 1) .. prev .. link
  payload = table.concat(bus)
end
if pending then
  -- At most 32 wait: what is dropped, followers find in the store. The write to
  -- meta makes a WAIT that follows cover what the duplicates found, too.
  local number = call('HINCRBY', meta, 'pending', payload and 1 or 0)
  if payload then
    call('RPUSH', pending, payload)
    call('LTRIM', pending, -32, -1)
    call('PEXPIRE', pending, 600000)
  end
  return {epoch, before + 1, cut, number, unpack(duplicates or {})}
end
if payload then
  call(ARGV[4], '{' .. list .. '}', payload)
end
if duplicates then
  return {epoch, before + 1, cut, unpack(duplicates)}
end
return {epoch, before + 1, cut}
