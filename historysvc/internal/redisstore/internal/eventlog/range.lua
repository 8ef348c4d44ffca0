#!lua flags=no-writes
-- Reads messages by number, from one number towards another.
--
-- KEYS  list, meta
-- ARGV  1 epoch   2 from seq   3 to seq (may be smaller: then newest first)
--       4 most elements   5 enough bytes
-- Reply {seq of the first element of the reply, elements ...} in the order asked for.
--       Messages that are not retained are left out at either end.
-- Error EPOCH: the counters are not those of that epoch (any more).
local call = redis.call
local list, meta = KEYS[1], KEYS[2]
local from, to, left, bytes = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local counters = call('HMGET', meta, 'epoch', 'seq')
if counters[1] ~= ARGV[1] then
  return redis.error_reply('EPOCH changed')
end
local head = tonumber(counters[2])
local oldest = head - call('LLEN', list) + 1
if math.max(from, to) < oldest or math.min(from, to) > head then
  return {from}
end
from = math.max(oldest, math.min(head, from))
to = math.max(oldest, math.min(head, to))
local reply = {from}
local step = from <= to and 1 or -1
while left > 0 and bytes > 0 and (to - from) * step >= 0 do
  local n = math.min(64, left, (to - from) * step + 1)
  local last = from + step * (n - 1)
  local part = call('LRANGE', list, head - math.max(from, last), head - math.min(from, last))
  for i = 1, #part do
    local text = part[step == 1 and #part + 1 - i or i]
    reply[#reply + 1] = text
    bytes = bytes - #text
    if bytes <= 0 then
      return reply
    end
  end
  left, from = left - n, last + step
end
return reply
