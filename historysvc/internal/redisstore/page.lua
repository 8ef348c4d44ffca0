#!lua flags=no-writes
-- Reads messages by position: 0 is the newest, -1 the oldest.
--
-- KEYS  list, meta
-- ARGV  1 position   2 size   3 enough bytes
-- Reply {length of the list, index of the first element, elements newest first ...}
-- Error ADOPT, WRONGTYPE.
local call = redis.call
local len = call('LLEN', KEYS[1])
if len > 0 and call('EXISTS', KEYS[2]) == 0 then
  return redis.error_reply('ADOPT the list has no counters')
end
local from, left, bytes = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if from < 0 then
  from = math.max(0, len + from)
end
local reply = {len, from}
while left > 0 and bytes > 0 and from < len do
  local n = math.min(64, left)
  local part = call('LRANGE', KEYS[1], from, from + n - 1)
  for i = 1, #part do
    reply[#reply + 1] = part[i]
    bytes = bytes - #part[i]
    if bytes <= 0 then
      return reply
    end
  end
  left, from = left - n, from + n
end
return reply
