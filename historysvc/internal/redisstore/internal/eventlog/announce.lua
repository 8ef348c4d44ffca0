#!lua flags=allow-oom
-- Publishes the pending payloads on the bus, in order, up to a number.
--
-- KEYS  meta, pending
-- ARGV  1 number of the last payload to publish   2 PUBLISH or SPUBLISH   3 channel
-- Reply how many it published.
local call = redis.call
local meta, pending = KEYS[1], KEYS[2]
local last, publish, channel = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local first = tonumber(call('HGET', meta, 'pending') or 0) - call('LLEN', pending) + 1
local published = 0
for _ = first, last do
  local payload = call('LPOP', pending)
  if not payload then
    break
  end
  call(publish, channel, payload)
  published = published + 1
end
return published
