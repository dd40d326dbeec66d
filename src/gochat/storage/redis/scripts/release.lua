-- Give a claim back that only this attempt has made. KEYS, ARGV: as claim.lua has them.

local claim = unpack(KEYS)
local _, owner, attempt = unpack(ARGV)
if redis.call('GET', claim) == owner .. '\0' .. attempt then
  redis.call('DEL', claim)
end
return 1
