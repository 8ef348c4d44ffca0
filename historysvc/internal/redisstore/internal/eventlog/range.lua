#!lua flags=no-writes
-- Reads messages by number, from one number towards another.
--
-- KEYS  list, meta, links
-- ARGV  1 epoch   2 from seq   3 to seq (may be smaller: then newest first)
--       4 most elements   5 enough bytes   6 "1": with entries of links
-- Reply {seq of the first element of the reply, {elements}, {their entries, "" for those without}} in the order
--       asked for. What is not retained is left out at either end.
-- Error EPOCH: the counters are not those of that epoch (any more).
local call = redis.call
local list, meta, links = KEYS[1], KEYS[2], KEYS[3]
local from, to, left, bytes = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local counters = call('HMGET', meta, 'epoch', 'seq')
if counters[1] ~= ARGV[1] then
  return redis.error_reply('EPOCH changed')
end
local head = tonumber(counters[2])
local oldest = head - call('LLEN', list) + 1
if math.max(from, to) < oldest or math.min(from, to) > head then
  return {from, {}, {}}
end
from = math.max(oldest, math.min(head, from))
to = math.max(oldest, math.min(head, to))
local first, texts, entries = from, {}, {}
local step = from <= to and 1 or -1
while left > 0 and bytes > 0 and (to - from) * step >= 0 do
  local n = math.min(64, left, (to - from) * step + 1)
  local last = from + step * (n - 1)
  local start, stop = head - math.max(from, last), head - math.min(from, last)
  local part = call('LRANGE', list, start, stop)
  local part_entries = ARGV[6] == '1' and call('LRANGE', links, start, stop)
  for i = 1, #part do
    local at = step == 1 and #part + 1 - i or i
    texts[#texts + 1] = part[at]
    if part_entries then
      entries[#entries + 1] = part_entries[at] or ''
    end
    bytes = bytes - #part[at]
    if bytes <= 0 then
      return {first, texts, entries}
    end
  end
  left, from = left - n, last + step
end
return {first, texts, entries}
