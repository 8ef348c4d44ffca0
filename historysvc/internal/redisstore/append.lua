#!lua
-- Appends a batch of one group: stores its messages, each only once, and puts
-- all of it on the bus, in order.
--
-- KEYS  list, meta, links, index0, index1, recalls, then, if the bus is to hear of
--       it by announce.lua, pending, and last, if there is one, the archive
-- ARGV  1 cap, messages            2 "1": the cap holds for adopted lists too
--       3 default ttl, ms, 0 none  4 "1": it holds for adopted lists too
--       5 hard limit of one index generation, entries
--       6 now, ms                  7 epoch, if counters must be made
--       8 link of the beginning, likewise
--       9 link of this batch      10 PUBLISH or SPUBLISH
--      11 who stored them, per packet 12 bytes: author (8), Unix seconds (4); "" if that is not kept
--      12 about how many entries the archive keeps; 0: there is none
--      13.. per packet: digest (12 bytes), head as the bus has it, see decodePayload, and the packet.
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
-- most of its Redis time here.
local call, byte, sub = redis.call, string.byte, string.sub
local KEYS, ARGV = KEYS, ARGV
local list, meta = KEYS[1], KEYS[2]
local link = ARGV[9]
local authors = ARGV[11]
local first, args = 13, #ARGV
local archive = ARGV[12] ~= '0' and KEYS[#KEYS]
local owned = archive and #KEYS - 1 or #KEYS -- keys of the group
local pending = owned > 6 and KEYS[7]

local m = call('HMGET', meta, 'seq', 'link', 'epoch', 'base', 'gen', 'gens', 'geno', 'gent', 'exp', 'ttl')
local fresh = not m[1]
if fresh then
  if call('LLEN', list) > 0 then
    return redis.error_reply('ADOPT the list has no counters')
  end
  m = {0, ARGV[8], ARGV[7], '0', 0, 0, 0, ARGV[6], false, false}
end
local seq, prev, epoch, adopted = tonumber(m[1]), m[2], m[3], m[4] ~= '0'
local gen, gens, geno = tonumber(m[5]), tonumber(m[6]), tonumber(m[7])
local before = seq

-- Which of them are known?
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

-- Number the others, and write down what the bus will carry.
local texts, entries, index, bus, seen = {}, {}, {}, {''}, {}
local duplicates
local stored, carried, k = 0, 1, 0
for i = first, args, 3 do
  local head, packet = ARGV[i + 1], ARGV[i + 2]
  local known = false
  if byte(head, 21) == 1 then
    local digest = ARGV[i]
    k = k + 1
    known = seen[digest] or newer and newer[k] or older and older[k]
    if known then
      duplicates = duplicates or {}
      duplicates[#duplicates + 1] = (i - first) / 3
      duplicates[#duplicates + 1] = tonumber(known)
    else
      seq = seq + 1
      stored = stored + 1
      seen[digest] = seq
      texts[stored] = packet
      entries[stored] = sub(head, 1, 20)
      if authors ~= '' then
        local at = (i - first) * 4 -- of 12 bytes for each 3 arguments
        entries[stored] = entries[stored] .. sub(authors, at + 1, at + 12)
      end
      index[2 * stored - 1] = digest
      index[2 * stored] = seq
    end
  end
  if not known then
    bus[carried + 1] = head
    bus[carried + 2] = packet
    carried = carried + 2
  end
end

local cut = 0
if stored > 0 then
  local cap = tonumber(ARGV[1])
  local slack = 600000 -- our keys outlive the list by this, ms; also the least age of an index generation
  local renew = fresh
  local len = call('LPUSH', list, unpack(texts))
  for i = 1, archive and stored or 0 do
    local entry = redis.pcall('XADD', archive, 'MAXLEN', '~', ARGV[12], '*',
      'kind', 'message', 'group', list, 'epoch', epoch, 'seq', before + i, 'text', texts[i])
    if entry.err then -- the first fails, or none
      call('LTRIM', list, stored, -1)
      return redis.error_reply('ARCHIVE it cannot be written')
    end
  end
  if fresh then
    call('UNLINK', unpack(KEYS, 3, owned))
    call('LPUSH', KEYS[3], prev .. string.rep('\0', 16))
    call('HSET', meta, 'seq', seq, 'link', link, 'epoch', epoch, 'base', 0,
      'gen', 0, 'gens', 0, 'geno', 0, 'gent', ARGV[6], 'exp', 0, 'recalls', 0)
  else
    call('HSET', meta, 'seq', seq, 'link', link)
  end
  local llen = call('LPUSH', KEYS[3], unpack(entries))

  -- A new generation of the index, when this one alone remembers enough.
  if before - gens >= cap then
    local age = tonumber(ARGV[6]) - tonumber(m[8])
    if age >= slack or before - gens >= tonumber(ARGV[5]) then
      if age < slack then
        cut = 1
      end
      gen, renew = 1 - gen, true
      call('UNLINK', KEYS[4 + gen])
      call('HSET', meta, 'gen', gen, 'gens', before, 'geno', gens, 'gent', ARGV[6])
    end
  end
  call('HSET', KEYS[4 + gen], unpack(index))

  -- Trim: at most 1000 at once beyond what came in.
  if len > cap and (not adopted or ARGV[2] == '1') then
    call('LTRIM', list, 0, math.max(cap, len - 1000) - 1)
  end
  if llen > cap + 1 then
    call('LTRIM', KEYS[3], 0, math.max(cap + 1, llen - 1000) - 1)
  end

  -- Expire.
  local ttl, was = m[10] or ((not adopted or ARGV[4] == '1') and ARGV[3]) or '0', m[9] or '0'
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
if carried > 1 then
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
  call(ARGV[10], '{' .. list .. '}', payload)
end
if duplicates then
  return {epoch, before + 1, cut, unpack(duplicates)}
end
return {epoch, before + 1, cut}
