#!lua flags=allow-oom
-- Reads a piece of a group's stream. The caller checks whether the start is right: the
-- reply has what the store knows about that place.
--
-- KEYS  list, meta, links, changes
-- ARGV  1 start: "at" seq and changes, "uuid" after message seq, "base" after the adopted list,
--         "oldest" before the oldest retained message, "newest" before the newest messages
--       2 epoch (of "at" and "uuid")   3 seq; of "newest": how many messages   4 changes
--       5 most messages, and most changes   6 enough bytes
--       7 "1": a WAIT will follow, which is to cover all that is read
-- Reply {epoch, head seq, head changes, head link,
--        1 if the start is a place from which all is retained, else 0 and the rest is empty,
--        seq, changes of the start,
--        entry of links there or "", entry of that change or "",
--        {texts, oldest first}, {their entries of links, "" where unknown}, {changes, newest first}}
--       nil: the group has nothing.
-- Error ADOPT, WRONGTYPE.
local call = redis.call
local list, meta, links, changes = unpack(KEYS)
local start, want_epoch, after_seq, after_change = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local most, bytes, will_wait = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7] == '1'
local length = call('LLEN', list)
local counters = call('HMGET', meta, 'epoch', 'seq', 'changes', 'link', 'adopted')
if not counters[1] then
  if length > 0 then
    return redis.error_reply('ADOPT the list has no counters')
  end
  return false
end
local epoch, head, total, head_link, adopted =
  counters[1], tonumber(counters[2]), tonumber(counters[3]), counters[4], tonumber(counters[5])
if will_wait then
  call('HSET', meta, 'seq', head) -- WAIT counts what its client has written
end
-- Pushes by others can make the list longer than the stream, which begins with message 1.
local oldest_seq, oldest_change = math.max(0, head - length), total - call('LLEN', changes)

-- The place of a change among the messages: see ParseChange.
local function place(change)
  local n = 0
  for i = 6, 12 do
    n = n * 256 + string.byte(change, i)
  end
  return n
end

-- The number of the newest change that comes before message seq: made when
-- the newest message was an older one.
local function change_before(seq)
  local low, high = oldest_change, total
  while low < high do
    local middle = math.floor((low + high + 1) / 2)
    if place(call('LINDEX', changes, total - middle)) < seq then
      low = middle
    else
      high = middle - 1
    end
  end
  return low
end

local same_epoch = true
if start == 'base' then
  after_seq, after_change = adopted, 0
elseif start == 'oldest' then
  after_seq, after_change = oldest_seq, change_before(oldest_seq)
elseif start == 'newest' then
  after_seq = math.max(oldest_seq, head - after_seq)
  after_change = change_before(after_seq + 1)
else
  same_epoch = want_epoch == epoch
  if same_epoch and start == 'uuid' then
    after_change = change_before(after_seq)
  end
end
if not same_epoch or after_seq < oldest_seq or after_seq > head or after_change < oldest_change or after_change > total then
  return {epoch, head, total, head_link, 0, 0, 0, '', '', {}, {}, {}}
end

local texts, entries = {}, {}
local seq, stop = after_seq, math.min(head, after_seq + most)
while seq < stop and bytes > 0 do
  local to = math.min(stop, seq + 64)
  local part = call('LRANGE', list, head - to, head - seq - 1)
  local part_entries = call('LRANGE', links, head - to, head - seq - 1)
  for i = #part, 1, -1 do
    texts[#texts + 1] = part[i]
    entries[#entries + 1] = part_entries[i] or ''
    bytes = bytes - #part[i]
    if bytes <= 0 then
      break
    end
  end
  seq = to
end
local later_changes = {}
if after_change < total then
  later_changes = call('LRANGE', changes, math.max(0, total - after_change - most), total - after_change - 1)
end
local last_change = ''
if after_change > oldest_change then
  last_change = call('LINDEX', changes, total - after_change)
end
local last_entry = call('LINDEX', links, head - after_seq) or ''
return {epoch, head, total, head_link, 1, after_seq, after_change, last_entry, last_change, texts, entries, later_changes}
