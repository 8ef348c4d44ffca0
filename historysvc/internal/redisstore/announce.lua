#!lua flags=allow-oom
-- Puts on the bus what waits for that, up to a number, in order.
--
-- KEYS  meta, pending
-- ARGV  1 number of the last payload to publish   2 PUBLISH or SPUBLISH   3 channel
-- Reply how many it published.
local call = redis.call
local first = tonumber(call('HGET', KEYS[1], 'pending') or 0) - call('LLEN', KEYS[2]) + 1
local published = 0
for _ = first, tonumber(ARGV[1]) do
  local payload = call('LPOP', KEYS[2])
  if not payload then
    break
  end
  call(ARGV[2], ARGV[3], payload)
  published = published + 1
end
return published
