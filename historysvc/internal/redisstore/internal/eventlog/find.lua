#!lua flags=no-writes
-- Looks a message up in the index.
--
-- KEYS  list, meta, index0, index1
-- ARGV  1 digest
-- Reply {epoch, head seq, {changes and link of the head}, oldest retained seq, newest seq that the index may not know,
--        seq by the index or 0, the text there or ""}; nil: the group has nothing.
-- Error ADOPT, WRONGTYPE.
local call = redis.call
local list, meta, index0, index1 = unpack(KEYS)
local digest = ARGV[1]
local length = call('LLEN', list)
local counters = call('HMGET', meta, 'epoch', 'seq', 'older_from', 'changes', 'link')
if not counters[1] then
  if length > 0 then
    return redis.error_reply('ADOPT the list has no counters')
  end
  return false
end
local epoch, head, older_from = counters[1], tonumber(counters[2]), tonumber(counters[3])
local seq = tonumber(call('HGET', index0, digest) or call('HGET', index1, digest) or 0)
local text = ''
if seq > head - length and seq <= head then
  text = call('LINDEX', list, head - seq) or ''
end
return {epoch, head, {counters[4], counters[5]}, head - length + 1, older_from, seq, text}
