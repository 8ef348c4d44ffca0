#!lua
-- Sets the ttl of a group, now and for later messages. A group without counters gets
-- them, so that the ttl applies to its first message.
--
-- KEYS  list, meta, links, index0, index1, changes
-- ARGV  1 now, ms   2 epoch   3 link of the beginning   4 ttl, ms
-- Reply 1
-- Error ADOPT, WRONGTYPE: nothing was done.
local call = redis.call
local list, meta, links, index0, index1, changes = unpack(KEYS)
local now, epoch, link, ttl = unpack(ARGV)
local length = call('LLEN', list)
if call('EXISTS', meta) == 0 then
  if length > 0 then
    return redis.error_reply('ADOPT the list has no counters')
  end
  call('UNLINK', links, index0, index1, changes)
  call('LPUSH', links, link .. string.rep('\0', 16))
  call('HSET', meta, 'epoch', epoch, 'seq', 0, 'link', link, 'adopted', 0, 'changes', 0,
    'index', 0, 'index_from', 0, 'index_time', now, 'older_from', 0)
end
call('HSET', meta, 'own_ttl', ttl, 'ttl', ttl)
call('PEXPIRE', list, ttl)
for i = 2, #KEYS do
  call('PEXPIRE', KEYS[i], tonumber(ttl) + 1200000)
end
return 1
