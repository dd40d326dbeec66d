-- Replace the hash of a password, if it is still the one that was proved. KEYS: account; the addresses it
-- logged in from and its tokens, which are forgotten with another password. ARGV: the epoch
-- (unused); the generation that was proved; the hash that was, or nothing if any of that generation will
-- do; the new hash; 1 if it is another password, which begins a new generation, else 0.
-- Returns 1, or 0 if nothing was replaced. An account without a generation has 0.

local account, addresses, tokens = unpack(KEYS)
local _, generation, before, after, count = unpack(ARGV)
local hash, current = unpack(redis.call('HMGET', account, 'hash', 'generation'))
if not hash or tonumber(current or 0) ~= tonumber(generation)
  or (before ~= '' and before ~= hash) then
  return 0
end
redis.call(
  'HSET', account, 'hash', after, 'generation', string.format('%d', generation + count)
)
if tonumber(count) > 0 then
  redis.call('DEL', addresses, tokens)
end
return 1
