-- Keep an invitation to the server. KEYS: the invitations, those that are revoked. ARGV: the epoch (unused);
-- its digest; the invitation, packed; how many are kept; before when those that expired are
-- forgotten. Returns 1, or 0 if there are too many.

local invitations, revoked = unpack(KEYS)
local _, digest, packed, most, before = unpack(ARGV)
local all = redis.call('HGETALL', invitations)
local kept = 0
for place = 1, #all, 2 do
  if cmsgpack.unpack(all[place + 1])[INVITATION.expires] < tonumber(before) then
    redis.call('HDEL', invitations, all[place])
    redis.call('HDEL', revoked, all[place])
  else
    kept = kept + 1
  end
end
if kept >= tonumber(most) then
  return 0
end
redis.call('HSET', invitations, digest, packed)
return 1
