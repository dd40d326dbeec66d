-- Set the status of an account (chat/status.py), if it still has the generation, state and mute that it had; or take
-- it back. KEYS: account. ARGV: the epoch (unused); those three; the status, or nothing. Returns 1, or 0 if nothing was
-- set.

local account = KEYS[1]
local _, generation, state, mute, status = unpack(ARGV)

if status == '' then
  redis.call('HDEL', account, 'status')
  return 1
end
local found = redis.call('HMGET', account, 'name', 'generation', 'state', 'mute')
if not found[1] or (found[2] or '0') ~= generation or (found[3] or 'active') ~= state
  or (found[4] or '') ~= mute then
  return 0
end
redis.call('HSET', account, 'status', status)
return 1
