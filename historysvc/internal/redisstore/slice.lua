#!lua flags=no-writes
-- Reads messages by number, from one number towards another.
--
-- KEYS  list, meta
-- ARGV  1 epoch   2 from seq   3 to seq (may be smaller: then newest first)
--       4 most elements   5 enough bytes
-- Reply {seq of the first element of the reply, head seq, elements ...} in the order asked for.
--       What is not retained is left out at either end.
-- Error EPOCH: the counters are not those of that epoch (any more).
local call = redis.call
local m = call('HMGET', KEYS[2], 'epoch', 'seq')
if m[1] ~= ARGV[1] then
  return redis.error_reply('EPOCH changed')
end
local head = tonumber(m[2])
local oldest = head - call('LLEN', KEYS[1]) + 1
local function clamp(seq)
  return math.max(oldest, math.min(head, seq))
end
local from, to = tonumber(ARGV[2]), tonumber(ARGV[3])
local reply = {from, head}
if math.max(from, to) < oldest or math.min(from, to) > head then
  return reply
end
from, to = clamp(from), clamp(to)
reply[1] = from
local left, bytes = tonumber(ARGV[4]), tonumber(ARGV[5])
local step = from <= to and 1 or -1
while left > 0 and bytes > 0 and (to - from) * step >= 0 do
  local n = math.min(64, left, (to - from) * step + 1)
  local last = from + step * (n - 1)
  local part = call('LRANGE', KEYS[1], head - math.max(from, last), head - math.min(from, last))
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
