#!lua
-- Adopts a list that is older than this service: makes its counters. It leaves a group
-- that has counters, or no list, as it is.
--
-- KEYS  list, meta, links, index0, index1, changes
-- ARGV  1 now, ms   2 epoch   3 link of the place after the newest message
-- Reply 1 if the counters are there, 0 if there is no list.
-- Error WRONGTYPE. DAMAGED: some counters are there, but not all.
local call = redis.call
local list, meta, links, index0, index1, changes = unpack(KEYS)
local now, epoch, link = unpack(ARGV)
if call('EXISTS', meta) == 1 then
  local counters = call('HMGET', meta, 'epoch', 'seq')
  if not counters[1] or not counters[2] then
    return redis.error_reply('DAMAGED a counter of the group is not there')
  end
  return 1
end
local length = call('LLEN', list)
if length == 0 then
  return 0
end
call('UNLINK', links, index0, index1, changes)
call('LPUSH', links, link .. string.rep('\0', 16))
call('HSET', meta, 'epoch', epoch, 'seq', length, 'link', link, 'adopted', length, 'changes', 0,
  'index', 0, 'index_from', length, 'index_time', now, 'older_from', length)
return 1
