#!lua
-- Appends a batch of one group: stores its messages, each only once, and publishes the
-- whole batch on the bus, in order.
--
-- KEYS  list, meta, links, index0, index1, changes, then, if announce.lua is to put it
--       on the bus later, pending, and last, if there is one, the archive
-- ARGV  1 link of this batch   2 epoch, if counters must be made   3 link of the beginning, likewise   4 now, ms
--       5.. per packet: digest (12 bytes), head as the bus has it, see DecodePayload, and the packet.
--           At most 128 packets, at least one message (kind 1) among them. The digest of others is not read.
-- SETTINGS, see appendSettings: cap, messages; default_ttl, ms, 0 none; cap_adopted, ttl_adopted: they apply to
--       adopted lists, too; index_limit: hard limit of one generation of the index, entries; publish: PUBLISH or
--       SPUBLISH; archive_size: about how many entries the archive keeps, 0 if there is none.
-- Reply {epoch, seq of the first message that was stored, 1 if a flood made the
--        index forget too soon, else 0, then, with pending, the number of its last
--        payload, then per duplicate: its place in the batch (from 0), its seq, which is
--        negative if that message has been recalled, and its entry in links, "" if it is not kept}
-- Error ADOPT: the list has no counters, see adopt.lua. WRONGTYPE. DAMAGED: a counter is not what it was.
--       ARCHIVE: it cannot be written. Nothing was done.
--
-- The reads come first and check everything that is used. Next come the writes that can
-- still fail; a failure undoes them, so nothing is left half done. Written for speed: a busy
-- group spends most of its Redis time here.
local call, byte, sub = redis.call, string.byte, string.sub
local KEYS, ARGV = KEYS, ARGV
local list, meta, links = KEYS[1], KEYS[2], KEYS[3]
local link, now = ARGV[1], ARGV[4]
local first_packet, last_argument = 5, #ARGV
local archive = archive_size > 0 and KEYS[#KEYS]
local group_keys = archive and #KEYS - 1 or #KEYS
local pending = group_keys > 6 and KEYS[7]

-- Where a message's entry of links begins, which ends its head, and its name in there.
local entry_from, name_from = 7, 35

local counters = call('HMGET', meta, 'seq', 'link', 'epoch', 'adopted', 'index', 'index_from', 'older_from', 'ttl')
local is_new = not counters[1]
if is_new then
  if call('EXISTS', meta) == 1 then
    return damaged()
  end
  if call('LLEN', list) > 0 then
    return redis.error_reply('ADOPT the list has no counters')
  end
  counters = {0, ARGV[3], ARGV[2], '0', 0, 0, 0, false}
end
local seq, last_link, epoch, is_adopted = whole(counters[1]), counters[2], counters[3], counters[4] ~= '0'
local index, index_from, older_from = whole(counters[5]), whole(counters[6]), whole(counters[7])
local ttl_before = counters[8] or '0'
if not (seq and index and index_from and older_from and whole(ttl_before) and marks(epoch, last_link))
  or index > 1 or index_from > seq or older_from > index_from then
  return damaged()
end
local seq_before = seq
if pending and (call('LLEN', pending) < 0 or not countable(meta, 'pending')) then
  return damaged()
end

-- Finds the known messages, numbers the others, and collects the payload for the bus. A
-- single message, as in most calls of groups that are not busy, needs no tables: that
-- takes a sixth less time.
local alone = last_argument == first_packet + 2
local stored, duplicates = 0, nil
local digest, head, text, entry -- of a message alone
local texts, entries, index_entries, bus -- of more; the bus's first is written last
if alone then
  digest, head, text = ARGV[first_packet], ARGV[first_packet + 1], ARGV[first_packet + 2]
  local known = not is_new and (call('HGET', KEYS[4 + index], digest)
    or index_from > older_from and call('HGET', KEYS[5 - index], digest))
  if known then
    if not whole(known) then
      return damaged()
    end
    duplicates = {0, whole(known), ''}
  else
    seq, stored, entry = seq + 1, 1, sub(head, entry_from)
  end
else
  local known, known_to_older
  if not is_new then
    local digests, n = {}, 0
    for i = first_packet, last_argument, 3 do
      if byte(ARGV[i + 1]) == 1 then
        n = n + 1
        digests[n] = ARGV[i]
      end
    end
    known = call('HMGET', KEYS[4 + index], unpack(digests))
    known_to_older = index_from > older_from and call('HMGET', KEYS[5 - index], unpack(digests))
  end
  texts, entries, index_entries, bus = {}, {}, {}, {''}
  local in_batch, message = {}, 0
  for i = first_packet, last_argument, 3 do
    digest, head, text = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    local first = false -- the number of the message's first copy
    if byte(head) == 1 then
      message = message + 1
      first = in_batch[digest] or known and known[message] or known_to_older and known_to_older[message]
      if first then
        if not whole(first) then
          return damaged()
        end
        duplicates = duplicates or {}
        local n = #duplicates
        duplicates[n + 1], duplicates[n + 2], duplicates[n + 3] = (i - first_packet) / 3, tonumber(first), ''
      else
        seq, stored = seq + 1, stored + 1
        in_batch[digest] = seq
        texts[stored] = text
        entries[stored] = sub(head, entry_from)
        index_entries[2 * stored - 1], index_entries[2 * stored] = digest, seq
      end
    end
    if not first then
      local n = #bus
      bus[n + 1], bus[n + 2] = head, text
    end
  end
end

local forgot_early = 0
if stored > 0 then
  local slack = 600000 -- our keys outlive the list by this, ms; also the least age of an index generation
  local must_expire = seq_before == index_from -- the index is made now, without an expiry
  local age -- of a generation that alone remembers enough
  if seq_before - index_from >= cap then
    local began = whole(call('HGET', meta, 'index_time'))
    if not began then
      return damaged()
    end
    age = tonumber(now) - began
  end
  local ttl = (not is_adopted or ttl_adopted) and default_ttl or '0'
  if ttl ~= ttl_before then
    ttl = call('HGET', meta, 'own_ttl') or ttl
    if not whole(ttl) then
      return damaged()
    end
  end

  local length = alone and call('LPUSH', list, text) or call('LPUSH', list, unpack(texts))
  if is_new then
    call('UNLINK', unpack(KEYS, 3, group_keys))
    call('LPUSH', links, last_link .. string.rep('\0', 16))
  end
  local links_length = alone and redis.pcall('LPUSH', links, entry) or redis.pcall('LPUSH', links, unpack(entries))
  if type(links_length) == 'table' then -- it is no list
    call('LTRIM', list, stored, -1)
    return links_length
  end
  for i = 1, archive and stored or 0 do
    local fields = {'kind', 'message', 'group', list, 'epoch', epoch, 'seq', seq_before + i, 'at', now, 'text', alone and text or texts[i]}
    local name = sub(alone and entry or entries[i], name_from)
    if name ~= '' then
      fields[#fields + 1], fields[#fields + 2] = byte(name) == 1 and 'key' or 'by', sub(name, 2)
    end
    local added = redis.pcall('XADD', archive, 'MAXLEN', '~', archive_size, '*', unpack(fields))
    if added.err then -- the first fails, or none
      call('LTRIM', list, stored, -1)
      if is_new then
        call('UNLINK', links)
      else
        call('LTRIM', links, stored, -1)
      end
      return redis.error_reply('ARCHIVE it cannot be written')
    end
  end
  if is_new then
    call('HSET', meta, 'seq', seq, 'link', link, 'epoch', epoch, 'adopted', 0, 'changes', 0,
      'index', 0, 'index_from', 0, 'index_time', now, 'older_from', 0, 'ttl', 0)
  else
    call('HSET', meta, 'seq', seq, 'link', link)
  end

  -- Begin a new generation of the index when this one alone remembers enough.
  if age and (age >= slack or seq_before - index_from >= index_limit) then
    forgot_early = age < slack and 1 or 0
    index, must_expire = 1 - index, true
    call('UNLINK', KEYS[4 + index])
    call('HSET', meta, 'index', index, 'index_from', seq_before, 'older_from', index_from, 'index_time', now)
  end
  if alone then
    call('HSET', KEYS[4 + index], digest, seq)
  else
    call('HSET', KEYS[4 + index], unpack(index_entries))
  end

  -- Trim: at most 1000 at once beyond what came in.
  if length > cap and (not is_adopted or cap_adopted) then
    call('LTRIM', list, 0, math.max(cap, length - 1000) - 1)
  end
  if links_length > cap + 1 then
    call('LTRIM', links, 0, math.max(cap + 1, links_length - 1000) - 1)
  end

  -- Expire. A ttl of SetTTL is already in force (ttl.lua).
  if ttl ~= ttl_before then
    call('HSET', meta, 'ttl', ttl)
    must_expire = true
  end
  if ttl ~= '0' then
    call('PEXPIRE', list, ttl)
    if must_expire or call('PTTL', meta) < tonumber(ttl) + slack then
      for i = 2, group_keys do
        call('PEXPIRE', KEYS[i], tonumber(ttl) + 2 * slack)
      end
    end
  elseif ttl_before ~= '0' then
    for i = 1, group_keys do
      call('PERSIST', KEYS[i])
    end
  end
else
  link = last_link
end

if duplicates then
  for i = 2, #duplicates, 3 do
    local first = duplicates[i]
    local text = call('LINDEX', list, seq - first)
    if text and sub(text, 1, 22) == '{"type":1,"command":6,' then
      duplicates[i] = -first
    end
    duplicates[i + 1] = call('LINDEX', links, seq - first) or ''
  end
end

local payload
if alone and stored > 0 then
  payload = 'M' .. epoch .. string.format('%016d', seq_before + 1) .. last_link .. head .. text
elseif not alone and #bus > 1 then
  bus[1] = 'M' .. epoch .. string.format('%016d', seq_before + 1) .. last_link
  payload = table.concat(bus)
end
local reply = {epoch, seq_before + 1, forgot_early}
if pending then
  -- At most 32 wait: what is dropped, followers find in the store. The write to
  -- meta makes a WAIT that follows cover what the duplicates found, too.
  reply[4] = call('HINCRBY', meta, 'pending', payload and 1 or 0)
  if payload then
    call('RPUSH', pending, payload)
    call('LTRIM', pending, -32, -1)
    call('PEXPIRE', pending, 600000)
  end
elseif payload then
  call(publish, '{' .. list .. '}', payload)
end
for i = 1, duplicates and #duplicates or 0 do
  reply[#reply + 1] = duplicates[i]
end
return reply
