#!lua
-- Appends a batch of one group: stores its messages, each only once, and puts
-- all of it on the bus, in order.
--
-- KEYS  list, meta, links, index0, index1, recalls
-- ARGV  1 cap, messages            2 "1": the cap holds for adopted lists too
--       3 default ttl, ms, 0 none  4 "1": it holds for adopted lists too
--       5 hard limit of one index generation, entries
--       6 now, ms                  7 epoch, if counters must be made
--       8 link of the beginning, likewise
--       9 link of this batch      10 PUBLISH or SPUBLISH
--      11.. per packet: digest (12 bytes) .. kind (1) .. origin (16) .. length (4), then the packet.
--           At most 128 packets, at least one message (kind 1) among them. The digest of others is not read.
-- Reply {epoch, seq of the first message that was stored, 1 if a flood made the
--        index forget too soon, else 0, then per duplicate: its place in the
--        batch (from 0), its seq}
-- Error ADOPT: the list has no counters, see adopt.lua. WRONGTYPE. Nothing was done.
--
-- The reads come first and the first write is the one that can fail, so a
-- failure leaves nothing half done.
local call, byte, sub = redis.call, string.byte, string.sub
local list, meta, links = KEYS[1], KEYS[2], KEYS[3]
local cap, now = tonumber(ARGV[1]), tonumber(ARGV[6])
local link = ARGV[9]
local first = 11
local slack = 600000 -- our keys outlive the list by this, ms; also the least age of an index generation

local m = call('HMGET', meta, 'epoch', 'seq', 'link', 'base', 'gen', 'gens', 'gent', 'geno', 'ttl', 'exp')
local fresh = not m[1]
if fresh then
  if call('LLEN', list) > 0 then
    return redis.error_reply('ADOPT the list has no counters')
  end
  m = {ARGV[7], 0, ARGV[8], 0, 0, 0, now, 0, false, 0}
end
local epoch, seq, prev = m[1], tonumber(m[2]), m[3]
local adopted = tonumber(m[4]) > 0
local gen, gens, gent, geno = tonumber(m[5]), tonumber(m[6]), tonumber(m[7]), tonumber(m[8])
local before = seq

-- Which of them are known?
local digests = {}
for i = first, #ARGV, 2 do
  if byte(ARGV[i], 13) == 1 then
    digests[#digests + 1] = sub(ARGV[i], 1, 12)
  end
end
local newer, older = {}, {}
if not fresh then
  newer = call('HMGET', KEYS[4 + gen], unpack(digests))
  if gens > geno then
    older = call('HMGET', KEYS[5 - gen], unpack(digests))
  end
end

-- Number the others, and write down what the bus will carry.
local texts, entries, index, bus, reply, seen = {}, {}, {}, {}, {}, {}
local k = 0
for i = first, #ARGV, 2 do
  local head, packet = ARGV[i], ARGV[i + 1]
  local known = false
  if byte(head, 13) == 1 then
    k = k + 1
    local digest = digests[k]
    known = seen[digest] or newer[k] or older[k]
    if known then
      reply[#reply + 1] = (i - first) / 2
      reply[#reply + 1] = tonumber(known)
    else
      seq = seq + 1
      seen[digest] = seq
      texts[#texts + 1] = packet
      entries[#entries + 1] = link .. sub(head, 14, 29)
      index[#index + 1] = digest
      index[#index + 1] = seq
    end
  end
  if not known then
    bus[#bus + 1] = sub(head, 13)
    bus[#bus + 1] = packet
  end
end

local cut = 0
if #texts > 0 then
  local set = {'seq', seq, 'link', link}
  local function put(field, value)
    set[#set + 1] = field
    set[#set + 1] = value
  end
  local len = call('LPUSH', list, unpack(texts))
  if fresh then
    call('UNLINK', links, KEYS[4], KEYS[5], KEYS[6])
    call('LPUSH', links, prev .. string.rep('\0', 16))
    put('epoch', epoch)
    put('base', 0)
    put('recalls', 0)
    put('gen', 0)
    put('gens', 0)
    put('gent', now)
    put('geno', 0)
  end
  local llen = call('LPUSH', links, unpack(entries))

  -- A new generation of the index, when this one alone remembers enough.
  local renew = fresh
  if before - gens >= cap and (now - gent >= slack or before - gens >= tonumber(ARGV[5])) then
    if now - gent < slack then
      cut = 1
    end
    gen, geno, gens, renew = 1 - gen, gens, before, true
    call('UNLINK', KEYS[4 + gen])
    put('gen', gen)
    put('gens', gens)
    put('gent', now)
    put('geno', geno)
  end
  call('HSET', KEYS[4 + gen], unpack(index))

  -- Trim: at most 1000 at once beyond what came in.
  if len > cap and (not adopted or ARGV[2] == '1') then
    call('LTRIM', list, 0, math.max(cap, len - 1000) - 1)
  end
  if llen > cap + 1 then
    call('LTRIM', links, 0, math.max(cap + 1, llen - 1000) - 1)
  end

  -- Expire.
  local ttl, was = tonumber(m[9] or 0), tonumber(m[10] or 0)
  if ttl == 0 and (not adopted or ARGV[4] == '1') then
    ttl = tonumber(ARGV[3])
  end
  if ttl ~= was then
    put('exp', ttl)
    renew = true
  end
  call('HSET', meta, unpack(set))
  if ttl > 0 then
    call('PEXPIRE', list, ttl)
    if renew or call('PTTL', meta) < ttl + slack then
      for i = 2, #KEYS do
        call('PEXPIRE', KEYS[i], ttl + 2 * slack)
      end
    end
  elseif was > 0 then
    for i = 1, #KEYS do
      call('PERSIST', KEYS[i])
    end
  end
else
  link = prev
end

if #bus > 0 then
  local head = 'M' .. epoch .. string.format('%016d', before + 1) .. prev .. link
  call(ARGV[10], '{' .. list .. '}', head .. table.concat(bus))
end
return {epoch, before + 1, cut, unpack(reply)}
