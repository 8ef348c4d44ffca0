#!lua flags=no-writes
-- Says which commands the user that runs it may not run.
--
-- ARGV  per command: how many words it has, and the words
-- Reply the first words of those that are forbidden
local denied = {}
local i = 1
while i <= #ARGV do
  local last = i + tonumber(ARGV[i])
  if not redis.acl_check_cmd(unpack(ARGV, i + 1, last)) then
    denied[#denied + 1] = ARGV[i + 1]
  end
  i = last + 1
end
return denied
