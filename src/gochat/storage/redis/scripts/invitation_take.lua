-- Take a use of an invitation to the server for an account that is about to be created. KEYS: the invitations,
-- those that are revoked, the uses of this one. ARGV: the epoch (unused); its digest, the key of the
-- account, what names this attempt, the time, for how long after it has expired it is kept. Returns 1, or 0 if it can't be used.
--
-- The account is in another partition, so the use is taken before it is created, and given back if
-- that comes to nothing (invitation_give_back.lua). Like a claim (claim.lua), a use says for whom it is and by which
-- attempt, and, once a second attempt for the same account relies on it, only for whom. If the node
-- dies in between it stays with that name, and the next attempt for it goes on.

local invitations, revoked, uses = unpack(KEYS)
local _, digest, account, attempt, now, kept = unpack(ARGV)
local packed = redis.call('HGET', invitations, digest)
if not packed or redis.call('HEXISTS', revoked, digest) == 1 then
  return 0
end
local invitation = cmsgpack.unpack(packed)
if invitation[INVITATION.expires] <= tonumber(now) then
  return 0
end
if redis.call('HEXISTS', uses, account) == 1 then
  redis.call('HSET', uses, account, '')
  return 1
end
if redis.call('HLEN', uses) >= invitation[INVITATION.uses] then
  return 0
end
redis.call('HSET', uses, account, attempt)
redis.call('PEXPIRE', uses, string.format('%d', invitation[INVITATION.expires] + kept - now))
return 1
