#!lua flags=allow-oom
-- Recalls a message: overwrites its texts if they are still the ones that were read.
-- Unless it may only overwrite, it also counts and announces the recall, which is a
-- change. Without places it looks the message up itself, and recalls it only if the index
-- alone is enough (docs/adr/0009-recalls-in-one-call.md).
--
-- KEYS  list, meta, links, index0, index1, changes, then, if announce.lua is to put it on the
--       bus later, pending, and last, if there is one, the archive
-- ARGV  1 epoch   2 seq of the message (neither is read without places)   3 uuid   4 tombstone   5 digest of the uuid
--       6 the change, see ParseChange, before its place, and 7 after its target
--       8 cap of the list of changes   9 PUBLISH or SPUBLISH, "" to overwrite only
--       10 the author whose message it must be, 8 bytes, not all 0; "": any
--       11 when it was stored at the earliest, Unix ms; 0: at any time
--       12 about how many entries the archive keeps; 0: there is none
--       13.. per place: seq, text
-- Reply {1, with pending the number of its payload}; {0} if something is not as it was read, or cannot be looked up
--       here; {2} if it is not the author's; {3} if it is too old. Unless 1, nothing was done.
-- Error ARCHIVE: it cannot be written. WRONGTYPE. DAMAGED: a counter is not what it was. Nothing was done.
local call = redis.call
local list, meta, links, index0, index1, changes = unpack(KEYS)
local want_epoch, target, uuid, tombstone, digest, front, back, cap, publish, author, since, archive_size = unpack(ARGV, 1, 12)
local first_place = 13

-- The time in six bytes, big endian; 0 if they are not there.
local function time(text, from)
  local a, b, c, d, e, f = string.byte(text, from, from + 5)
  return f and ((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f or 0
end

local counters = call('HMGET', meta, 'epoch', 'seq', 'changes', 'link', 'index', 'older_from')
if not counters[1] then
  return {0}
end
local epoch, head, total, last_link, index, older_from =
  counters[1], tonumber(counters[2]), tonumber(counters[3]), counters[4], tonumber(counters[5]), tonumber(counters[6])
local archive = archive_size ~= '0' and KEYS[#KEYS]
local pending = (archive and #KEYS - 1 or #KEYS) > 6 and KEYS[7]
local length = call('LLEN', list)

local seq, places = tonumber(target), {} -- places are indexes of the list
if #ARGV >= first_place then
  if epoch ~= want_epoch then
    return {0}
  end
  for i = first_place, #ARGV, 2 do
    local place = head - tonumber(ARGV[i])
    if place < 0 or place >= length or call('LINDEX', list, place) ~= ARGV[i + 1] then
      return {0}
    end
    places[#places + 1] = place
  end
else
  seq = tonumber(call('HGET', index0, digest) or call('HGET', index1, digest) or 0)
  local oldest = head - length + 1
  if oldest <= older_from or seq < oldest or seq > head then
    return {0} -- the index does not know all that is there, or not this message
  end
  places[1] = head - seq
  -- Tombstones are {"type":1,"command":6,"uuid":U}. A packet that begins with the same U, quotes included, has that uuid.
  local beginning = '{"type":2,"uuid":' .. string.sub(tombstone, 30, -2)
  if string.sub(call('LINDEX', list, places[1]) or '', 1, #beginning) ~= beginning then
    return {0} -- it is written in another way, recalled, or not there
  end
end

since = tonumber(since)
if author ~= '' or since > 0 then
  for _, place in ipairs(places) do
    local entry = call('LINDEX', links, place) or ''
    if author ~= '' and string.sub(entry, 27, 34) ~= author then
      return {2}
    end
    if time(entry, 21) < since then
      return {3}
    end
  end
end
-- The remaining reads, before the first write: they check types.
local is_indexed = call('HEXISTS', index0, digest) + call('HEXISTS', index1, digest) > 0
if call('LLEN', changes) + (pending and call('LLEN', pending) or 0) < 0 or not (whole(head) and whole(total) and whole(older_from))
  or (index ~= 0 and index ~= 1) or not marks(epoch, last_link)
  or not countable(meta, 'overwrites') or not countable(meta, 'pending') then
  return damaged()
end
if archive and publish ~= '' then
  local fields = {'kind', 'recall', 'group', list, 'epoch', epoch, 'seq', seq, 'at', string.format('%.0f', time(back, 1)), 'uuid', uuid}
  local name = string.sub(back, 8, 7 + string.byte(back, 7))
  if name ~= '' then
    fields[#fields + 1], fields[#fields + 2] = string.byte(name) == 1 and 'key' or 'by', string.sub(name, 2)
  end
  local added = redis.pcall('XADD', archive, 'MAXLEN', '~', archive_size, '*', unpack(fields))
  if added.err then
    return redis.error_reply('ARCHIVE it cannot be written')
  end
end
for _, place in ipairs(places) do
  call('LSET', list, place, tombstone)
end
if publish == '' then
  call('HINCRBY', meta, 'overwrites', 1) -- the change is counted later: see version.go
  return {1}
end

-- Seven bytes, big endian.
local function packed(n)
  local low = n % 16777216
  local high, floor = (n - low) / 16777216, math.floor
  return string.char(floor(high / 16777216), floor(high / 65536) % 256, floor(high / 256) % 256, high % 256,
    floor(low / 65536), floor(low / 256) % 256, low % 256)
end

local number = total + 1
local change = front .. packed(head) .. packed(seq) .. back
call('HSET', meta, 'changes', number, 'link', string.sub(front, 1, 4))
call('LPUSH', changes, change)
call('LTRIM', changes, 0, tonumber(cap))
-- A resend must not bring the message back, even if the index never knew it.
if not is_indexed then
  call('HSET', index == 0 and index0 or index1, digest, seq)
end
local ttl = call('PTTL', meta)
if ttl > 0 then
  for _, key in ipairs({index0, index1, changes}) do
    call('PEXPIRE', key, ttl)
  end
end
local payload = 'C' .. epoch .. string.format('%016d', number) .. last_link .. change
if pending then
  call('RPUSH', pending, payload)
  call('LTRIM', pending, -32, -1)
  call('PEXPIRE', pending, 600000)
  return {1, call('HINCRBY', meta, 'pending', 1)}
end
call(publish, '{' .. list .. '}', payload)
return {1}
