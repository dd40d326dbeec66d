-- Replace a report or remove it, if it still is as it was, and some people still have their roles.
-- KEYS: as of report_add.lua, and the roles of the partition in the place of the settings. ARGV: the epoch
-- (unused); the id; the report as it was and as it is to be, empty to remove it; its digest before and after; when
-- it was resolved, or 0; and pairs of a person and a role.
-- Returns 1, or 0 if nothing was done.

local reports, open, resolved, reported, roles = unpack(KEYS)
local _, id, before, after, digest, new_digest, handled = unpack(ARGV)
if redis.call('HGET', reports, id) ~= before then
  return 0
end
for place = 8, #ARGV, 2 do
  if (redis.call('HGET', roles, ARGV[place]) or ARGV[place + 1]) ~= ARGV[place + 1] then
    return 0
  end
end
redis.call('ZREM', open, id)
redis.call('ZREM', resolved, id)
if redis.call('HGET', reported, digest) == id then
  redis.call('HDEL', reported, digest)
end
if after == '' then
  redis.call('HDEL', reports, id)
  return 1
end
redis.call('HSET', reports, id, after)
if handled == '0' then
  redis.call('ZADD', open, id, id)
  redis.call('HSET', reported, new_digest, id)
else
  redis.call('ZADD', resolved, handled, id)
end
return 1
