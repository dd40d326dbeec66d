-- Move forward up to when a person has seen their activity.
--
-- KEYS: account. ARGV: the epoch (unused); the time. Returns 1 if it moved.

local name, before = unpack(redis.call('HMGET', KEYS[1], 'name', 'activity'))
if not name or tonumber(ARGV[2]) <= tonumber(before or 0) then
  return 0
end
redis.call('HSET', KEYS[1], 'activity', ARGV[2])
return 1
