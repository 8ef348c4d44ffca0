#!lua
-- Makes the counters of a list that was there before this service, which is
-- then adopted. A group that has counters, or no list, stays as it is.
--
-- KEYS  list, meta, links, index0, index1, recalls
-- ARGV  1 now, ms   2 epoch   3 link of the place after the newest message
-- Reply 1 if the counters are there, 0 if there is no list.
-- Error WRONGTYPE.
local call = redis.call
if call('EXISTS', KEYS[2]) == 1 then
  return 1
end
local len = call('LLEN', KEYS[1])
if len == 0 then
  return 0
end
call('UNLINK', KEYS[3], KEYS[4], KEYS[5], KEYS[6])
call('LPUSH', KEYS[3], ARGV[3] .. string.rep('\0', 16))
call('HSET', KEYS[2], 'epoch', ARGV[2], 'seq', len, 'link', ARGV[3], 'base', len,
  'recalls', 0, 'gen', 0, 'gens', len, 'gent', ARGV[1], 'geno', len)
return 1
