#!lua flags=allow-oom
-- Deletes the messages and changes of a group. It keeps the counters and the index, so
-- that a message that is sent again is a duplicate. A new epoch, and a number that no
-- message has, turn every earlier position into a gap. Groups without counters, or with
-- damaged ones, lose all keys.
--
-- KEYS  list, meta, links, index0, index1, changes, pending
-- ARGV  1 epoch   2 link of the new beginning   3 how long the rest lives without a new message, ms
-- Reply {how many messages were deleted}
-- Error WRONGTYPE: nothing was done.
local call = redis.call
local list, meta, links, index0, index1, changes, pending = unpack(KEYS)
local epoch, link, lifetime = unpack(ARGV)
local length = call('LLEN', list)

-- Is this field a number of milliseconds, or absent?
local function is_time(field)
  return countable(meta, field) and whole(call('HGET', meta, field) or 0)
end

local function is_hash(key)
  local kind = call('TYPE', key).ok
  return kind == 'hash' or kind == 'none'
end

local function sound_counters()
  if not (is_hash(meta) and is_hash(index0) and is_hash(index1)) then
    return false
  end
  local c = call('HMGET', meta, 'seq', 'index', 'index_from', 'index_time', 'older_from', 'epoch', 'link')
  local seq, index, index_from, older_from = whole(c[1]), whole(c[2]), whole(c[3]), whole(c[5])
  return seq and index and index_from and whole(c[4]) and older_from and marks(c[6], c[7])
    and index <= 1 and index_from <= seq and older_from <= index_from
    and is_time('ttl') and is_time('own_ttl') and countable(meta, 'pending') and countable(meta, 'overwrites') and seq
end

local seq = sound_counters()
if not seq then
  call('UNLINK', unpack(KEYS))
  return {length}
end
call('UNLINK', list, links, changes, pending)
call('LPUSH', links, link .. string.rep('\0', 16))
call('HSET', meta, 'epoch', epoch, 'seq', seq + 1, 'link', link, 'changes', 0, 'adopted', 0)
-- The rest lives as long as after an expired history. Without a ttl, 1 ms means
-- "expired": the next message ends that (append.lua), and followers renew it.
local ttl = call('HGET', meta, 'ttl') or '0'
if ttl == '0' then
  ttl = '1'
  call('HSET', meta, 'ttl', ttl)
end
for _, key in ipairs({meta, links, index0, index1}) do
  call('PEXPIRE', key, tonumber(ttl) + tonumber(lifetime))
end
return {length}
