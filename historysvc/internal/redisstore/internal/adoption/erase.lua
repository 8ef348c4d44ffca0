#!lua flags=allow-oom
-- Overwrites elements of a list that has no counters yet, if they still hold the
-- texts that were read. Places count from the oldest (-1), so that they stay the same
-- while others append.
--
-- KEYS  list, meta
-- ARGV  per place: index, text, tombstone
-- Reply 1; 0 if the list has counters by now: nothing was done.
local call = redis.call
local list, meta = KEYS[1], KEYS[2]
if call('EXISTS', meta) == 1 then
  return 0
end
for i = 1, #ARGV, 3 do
  local index, text, tombstone = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if call('LINDEX', list, index) == text then
    call('LSET', list, index, tombstone)
  end
end
return 1
