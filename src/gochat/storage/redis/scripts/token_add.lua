-- Keep a token. KEYS: the account's tokens, the account. ARGV: the epoch (unused); the token's id; the
-- token, packed; the time; how many of its kind an account may have.
-- Those that are not valid are deleted. A device in excess replaces those that were not seen for longest.
--
-- Returns the ids of those; or 0, and nothing was kept, if it is a program's that is in excess.

local tokens, account = unpack(KEYS)
local _, id, packed, now, most = unpack(ARGV)
local generation = tonumber(redis.call('HGET', account, 'generation') or 0)
local is_program = #cmsgpack.unpack(packed)[TOKEN.scopes] > 0
local same = {}
local all = redis.call('HGETALL', tokens)
for place = 1, #all, 2 do
  local token = cmsgpack.unpack(all[place + 1])
  if token[TOKEN.expires] <= tonumber(now) or token[TOKEN.generation] < generation then
    redis.call('HDEL', tokens, all[place])
  elseif (#token[TOKEN.scopes] > 0) == is_program then
    table.insert(same, { all[place], token[TOKEN.seen], token[TOKEN.created] })
  end
end
local excess = #same + 1 - tonumber(most)
if is_program and excess > 0 then
  return 0
end
table.sort(same, function(one, other)
  if one[2] ~= other[2] then
    return one[2] < other[2]
  end
  return one[3] < other[3]
end)
local revoked = {}
for place = 1, excess do
  redis.call('HDEL', tokens, same[place][1])
  table.insert(revoked, same[place][1])
end
redis.call('HSET', tokens, id, packed)
return revoked
