-- Checks of counters, which other programs may have damaged. Scripts that write counters
-- begin with this one.

local function damaged()
  return redis.error_reply('DAMAGED a counter of the group is not what it was')
end

-- Returns the number in a counter; nil if it is not a number from 0 to 2^53.
local function whole(text)
  local n = tonumber(text)
  return n and n >= 0 and n < 9007199254740992 and n % 1 == 0 and n or nil
end

-- Are these an epoch and a link?
local function marks(epoch, link)
  return epoch and link and #epoch == 16 and not string.find(epoch, '%X') and #link == 4
end

-- Does HINCRBY take this field?
local function countable(meta, field)
  local text = redis.call('HGET', meta, field) or '0'
  return string.format('%.0f', whole(text) or -1) == text
end

