-- Claim what a name looks like. KEYS: the claim. ARGV: the epoch (unused); the key of the account or room;
-- what names this attempt. Returns 1, or 0 if another name has it.
--
-- An attempt that comes to nothing gives back what it alone has claimed (release.lua). So a claim says
-- whose it is and by which attempt, and, once a second attempt for the same name relies on it, only whose.

local claim = unpack(KEYS)
local _, owner, attempt = unpack(ARGV)
local held = redis.call('GET', claim)
if not held then
  redis.call('SET', claim, owner .. '\0' .. attempt)
  return 1
end
if string.match(held, '^%Z*') ~= owner then
  return 0
end
redis.call('SET', claim, owner)
return 1
