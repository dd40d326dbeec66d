-- Give back a use that only this attempt has taken. KEYS: the uses of the invitation. ARGV: the epoch (unused);
-- the key of the account, what names the attempt. Returns how many were given back.

local uses = unpack(KEYS)
local _, account, attempt = unpack(ARGV)
if redis.call('HGET', uses, account) == attempt then
  return redis.call('HDEL', uses, account)
end
return 0
