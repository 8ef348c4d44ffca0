#!lua flags=allow-oom
-- Overwrites elements of a list that has no counters yet, where they still
-- hold the texts that were read. Places count from the oldest (-1), so that
-- they stay while others append.
--
-- KEYS  list, meta
-- ARGV  per place: index, text, tombstone
-- Reply 1; 0 if the list has counters by now: nothing was done.
local call = redis.call
if call('EXISTS', KEYS[2]) == 1 then
  return 0
end
for i = 1, #ARGV, 3 do
  if call('LINDEX', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    call('LSET', KEYS[1], ARGV[i], ARGV[i + 2])
  end
end
return 1
