#!lua flags=allow-oom
-- Recalls a message: overwrites its texts if they are still the ones that were
-- read, and, if told to, counts and announces the recall. Without places it looks
-- the message up itself, and does it only if nothing but the index is needed for that
-- (docs/adr/0009-recalls-in-one-call.md).
--
-- KEYS  list, meta, index0, index1, recalls, links, then, if the bus is to hear of it
--       by announce.lua, pending, and last, if there is one, the archive
-- ARGV  1 epoch   2 seq of the message (neither is read without places)   3 uuid   4 tombstone   5 digest of the uuid
--       6 link of the recall   7 cap of the list of recalls
--       8 PUBLISH or SPUBLISH, "" to overwrite only
--       9 the author whose message it must be, 8 bytes, not all 0; "": anybody's
--       10 when it was stored at the earliest, Unix seconds; 0: at any time
--       11 about how many entries the archive keeps; 0: there is none
--       12.. per place: seq, text
-- Reply 1, with pending {number of its payload}; 0 if something is not as it was read, or cannot be looked up here;
--       2 if it is not the author's; 3 if it is too old. Unless 1, nothing was done.
-- Error ARCHIVE: it cannot be written. Nothing was done.
local call = redis.call
local m = call('HMGET', KEYS[2], 'epoch', 'seq', 'recalls', 'link', 'gen', 'geno')
if not m[1] then
  return 0
end
local head = tonumber(m[2])
local archive = ARGV[11] ~= '0' and KEYS[#KEYS]
local pending = (archive and #KEYS - 1 or #KEYS) > 6 and KEYS[7]
local len = call('LLEN', KEYS[1])
local seq, places = tonumber(ARGV[2]), {} -- indexes of the list
if #ARGV > 11 then
  if m[1] ~= ARGV[1] then
    return 0
  end
  for i = 12, #ARGV, 2 do
    local at = head - tonumber(ARGV[i])
    if at < 0 or at >= len or call('LINDEX', KEYS[1], at) ~= ARGV[i + 1] then
      return 0
    end
    places[#places + 1] = at
  end
else
  seq = tonumber(call('HGET', KEYS[3], ARGV[5]) or call('HGET', KEYS[4], ARGV[5]) or 0)
  local oldest = head - len + 1
  if oldest <= tonumber(m[6]) or seq < oldest or seq > head then
    return 0 -- the index does not know all that is there, or not this message
  end
  places[1] = head - seq
  -- Tombstones are {"type":1,"command":6,"uuid":U}. A packet that begins with the same U, quotes included, has that uuid.
  local begins = '{"type":2,"uuid":' .. string.sub(ARGV[4], 30, -2)
  if string.sub(call('LINDEX', KEYS[1], places[1]) or '', 1, #begins) ~= begins then
    return 0 -- it is written in another way, recalled, or not there
  end
end
local author, since = ARGV[9], tonumber(ARGV[10])
if author ~= '' or since > 0 then
  for _, at in ipairs(places) do
    local entry = call('LINDEX', KEYS[6], at) or ''
    if author ~= '' and string.sub(entry, 21, 28) ~= author then
      return 2
    end
    local a, b, c, d = string.byte(entry, 29, 32)
    if (d and ((a * 256 + b) * 256 + c) * 256 + d or -1) < since then
      return 3
    end
  end
end
if archive and ARGV[8] ~= '' then
  local entry = redis.pcall('XADD', archive, 'MAXLEN', '~', ARGV[11], '*',
    'kind', 'recall', 'group', KEYS[1], 'epoch', m[1], 'seq', seq, 'uuid', ARGV[3])
  if entry.err then
    return redis.error_reply('ARCHIVE it cannot be written')
  end
end
for _, at in ipairs(places) do
  call('LSET', KEYS[1], at, ARGV[4])
end
if ARGV[8] == '' then
  call('HINCRBY', KEYS[2], 'edits', 1) -- the recall is counted later: see version.go
  return 1
end

local number = tonumber(m[3]) + 1
local facts = string.format('%016d%016d', head, seq)
call('HSET', KEYS[2], 'recalls', number, 'link', ARGV[6])
call('LPUSH', KEYS[5], ARGV[6] .. facts .. ARGV[3])
call('LTRIM', KEYS[5], 0, tonumber(ARGV[7]))
-- A resend must not bring the message back, even if the index never knew it.
if call('HEXISTS', KEYS[3], ARGV[5]) == 0 and call('HEXISTS', KEYS[4], ARGV[5]) == 0 then
  call('HSET', KEYS[3 + tonumber(m[5])], ARGV[5], seq)
end
local left = call('PTTL', KEYS[2])
if left > 0 then
  for i = 3, 5 do
    call('PEXPIRE', KEYS[i], left)
  end
end
local payload = 'R' .. m[1] .. facts .. string.format('%016d', number) .. m[4] .. ARGV[6] .. ARGV[3]
if pending then
  call('RPUSH', pending, payload)
  call('LTRIM', pending, -32, -1)
  call('PEXPIRE', pending, 600000)
  return {call('HINCRBY', KEYS[2], 'pending', 1)}
end
call(ARGV[8], '{' .. KEYS[1] .. '}', payload)
return 1
