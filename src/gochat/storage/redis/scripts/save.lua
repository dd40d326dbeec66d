-- Save a message for a person: chat/saved.py.
--
-- KEYS: account, saved. ARGV: the epoch (unused); the field; its value; how many there are at most. Returns 1 if it
-- is new, 0 if it is there, or there is no such account; -1: there are too many.

local account, saved = unpack(KEYS)
local _, field, value, most = unpack(ARGV)

if redis.call('EXISTS', account) == 0 or redis.call('HEXISTS', saved, field) == 1 then
  return 0
end
if redis.call('HLEN', saved) >= tonumber(most) then
  return -1
end
redis.call('HSET', saved, field, value)
return 1
