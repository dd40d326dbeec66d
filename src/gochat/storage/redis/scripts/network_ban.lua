-- Set the ban of a network or lift it, if it still is as it was, and who does it still has their role.
-- KEYS: the bans; the settings; the roles of the partition. ARGV: the epoch (unused); the field of the settings
-- that counts the changes; the network; the ban as it was and as it is to be, each empty for none; who changes it
-- and their role, or two empty ones; how many bans there may be.
-- Returns 1, or 0 if nothing was done, or -1 if there are too many.

local bans, settings, roles = unpack(KEYS)
local _, version, network, before, after, actor, role, most = unpack(ARGV)
local found = redis.call('HGET', bans, network) or ''
if found ~= before then
  return 0
end
if actor ~= '' and (redis.call('HGET', roles, actor) or role) ~= role then
  return 0
end
if after == '' then
  redis.call('HDEL', bans, network)
elseif found == '' and redis.call('HLEN', bans) >= tonumber(most) then
  return -1
else
  redis.call('HSET', bans, network, after)
end
redis.call('HINCRBY', settings, version, 1)
return 1
