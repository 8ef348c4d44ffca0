#!lua flags=no-writes
-- Looks a message up in the index.
--
-- KEYS  list, meta, index0, index1
-- ARGV  1 digest
-- Reply {epoch, head seq, oldest retained seq, newest seq that the index may not know,
--        seq by the index or 0, the text there or ""}; nil: the group has nothing.
-- Error ADOPT, WRONGTYPE.
local call = redis.call
local len = call('LLEN', KEYS[1])
local m = call('HMGET', KEYS[2], 'epoch', 'seq', 'geno')
if not m[1] then
  if len > 0 then
    return redis.error_reply('ADOPT the list has no counters')
  end
  return false
end
local head = tonumber(m[2])
local at = tonumber(call('HGET', KEYS[3], ARGV[1]) or call('HGET', KEYS[4], ARGV[1]) or 0)
local text = ''
if at > head - len and at <= head then
  text = call('LINDEX', KEYS[1], head - at) or ''
end
return {m[1], head, head - len + 1, tonumber(m[3]), at, text}
