-- Keep a new account. KEYS: account, people. ARGV: the epoch (unused); key, name, password hash,
-- created, seq and texts of the lobby, generation, role, bot, state. Returns 1, or 0 if the key is taken; that it stays when its
-- account has vanished, or a stranger could get the conversations of this name.

local account, people = unpack(KEYS)
local _, key, name, password_hash, created, read, texts, generation, role, bot, state = unpack(ARGV)
if redis.call('EXISTS', account) == 1 or redis.call('ZSCORE', people, key) then
  return 0
end
redis.call(
  'HSET', account, 'name', name, 'hash', password_hash, 'created', created,
  'read', read, 'texts', texts, 'generation', generation, 'role', role, 'bot', bot, 'state', state
)
redis.call('ZADD', people, 0, key)
return 1
