#!lua flags=no-writes
-- Finds the commands that its user may not run or the server does not know. Servers
-- before Redis 7 cannot report permissions; the reply is then as if they allow all.
--
-- ARGV  per command: how many words it has, and the words
-- Reply the first words of the forbidden commands
local denied = {}
if not redis.acl_check_cmd then
  return denied
end
local i = 1
while i <= #ARGV do
  local last = i + tonumber(ARGV[i])
  local known, allowed = pcall(redis.acl_check_cmd, unpack(ARGV, i + 1, last))
  if not known then
    denied[#denied + 1] = ARGV[i + 1] .. ' (unknown)'
  elseif not allowed then
    denied[#denied + 1] = ARGV[i + 1]
  end
  i = last + 1
end
return denied
