#!lua flags=allow-oom
-- Reads a piece of a group's stream. Whether the start is right is for the
-- caller to judge: the reply has what the store knows about that place.
--
-- KEYS  list, meta, links, recalls
-- ARGV  1 start: "at" seq and recalls, "uuid" after message seq, "base" after the adopted list,
--         "oldest" before the oldest retained message
--       2 epoch (of "at" and "uuid")   3 seq   4 recalls
--       5 most messages, and most recalls   6 enough bytes
--       7 "1": a WAIT will follow, which is to cover all that is read
-- Reply {epoch, head seq, head recalls, head link,
--        1 if the start is a place from which all is retained, else 0 and the rest is empty,
--        seq, recalls of the start,
--        entry of links there or "", entry of that recall or "",
--        {texts, oldest first}, {their entries of links, "" where unknown}, {recalls, newest first}}
--       nil: the group has nothing.
-- Error ADOPT, WRONGTYPE.
local call = redis.call
local list, meta, links, recalls = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local len = call('LLEN', list)
local m = call('HMGET', meta, 'epoch', 'seq', 'recalls', 'link', 'base')
if not m[1] then
  if len > 0 then
    return redis.error_reply('ADOPT the list has no counters')
  end
  return false
end
if ARGV[7] == '1' then
  call('HSET', meta, 'seq', m[2]) -- WAIT counts what its client has written
end
local head, total = tonumber(m[2]), tonumber(m[3])
-- What others have pushed can make the list longer than the stream, which begins with message 1.
local floor, rfloor = math.max(0, head - len), total - call('LLEN', recalls)

-- The number of the newest recall that stands before message seq: made when
-- the newest message was an older one.
local function passed(seq)
  local lo, hi = rfloor, total
  while lo < hi do
    local mid = math.floor((lo + hi + 1) / 2)
    if tonumber(string.sub(call('LINDEX', recalls, total - mid), 5, 20)) < seq then
      lo = mid
    else
      hi = mid - 1
    end
  end
  return lo
end

local start, at, after = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local same = true
if start == 'base' then
  at, after = tonumber(m[5]), 0
elseif start == 'oldest' then
  at = floor
  after = passed(at)
else
  same = ARGV[2] == m[1]
  if same and start == 'uuid' then
    after = passed(at)
  end
end
if not same or at < floor or at > head or after < rfloor or after > total then
  return {m[1], head, total, m[4], 0, 0, 0, '', '', {}, {}, {}}
end

local most, bytes = tonumber(ARGV[5]), tonumber(ARGV[6])
local texts, entries = {}, {}
local seq, stop = at, math.min(head, at + most)
while seq < stop and bytes > 0 do
  local to = math.min(stop, seq + 64)
  local part = call('LRANGE', list, head - to, head - seq - 1)
  local known = call('LRANGE', links, head - to, head - seq - 1)
  for i = #part, 1, -1 do
    texts[#texts + 1] = part[i]
    entries[#entries + 1] = known[i] or ''
    bytes = bytes - #part[i]
    if bytes <= 0 then
      break
    end
  end
  seq = to
end
local news = {}
if after < total then
  news = call('LRANGE', recalls, math.max(0, total - after - most), total - after - 1)
end
local before = ''
if after > rfloor then
  before = call('LINDEX', recalls, total - after)
end
return {m[1], head, total, m[4], 1, at, after, call('LINDEX', links, head - at) or '', before, texts, entries, news}
