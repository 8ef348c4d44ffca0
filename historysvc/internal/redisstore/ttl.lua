#!lua
-- Sets the ttl of a group, now and for messages to come. A group without
-- counters gets them, so that the ttl waits for its first message.
--
-- KEYS  list, meta, links, index0, index1, recalls
-- ARGV  1 now, ms   2 epoch   3 link of the beginning   4 ttl, ms
-- Reply 1
-- Error ADOPT, WRONGTYPE: nothing was done.
local call = redis.call
local len = call('LLEN', KEYS[1])
if call('EXISTS', KEYS[2]) == 0 then
  if len > 0 then
    return redis.error_reply('ADOPT the list has no counters')
  end
  call('UNLINK', KEYS[3], KEYS[4], KEYS[5], KEYS[6])
  call('LPUSH', KEYS[3], ARGV[3] .. string.rep('\0', 16))
  call('HSET', KEYS[2], 'epoch', ARGV[2], 'seq', 0, 'link', ARGV[3], 'base', 0,
    'recalls', 0, 'gen', 0, 'gens', 0, 'gent', ARGV[1], 'geno', 0)
end
call('HSET', KEYS[2], 'ttl', ARGV[4], 'exp', ARGV[4])
call('PEXPIRE', KEYS[1], ARGV[4])
for i = 2, #KEYS do
  call('PEXPIRE', KEYS[i], tonumber(ARGV[4]) + 1200000)
end
return 1
