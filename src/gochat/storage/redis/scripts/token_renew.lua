-- Replace a token, unless it was revoked meanwhile. KEYS: the account's tokens. ARGV: the epoch (unused);
-- the token's id; the token, packed. Returns 1, or 0 if it is gone.

local tokens = unpack(KEYS)
local _, id, packed = unpack(ARGV)
if redis.call('HEXISTS', tokens, id) == 0 then
  return 0
end
redis.call('HSET', tokens, id, packed)
return 1
