-- Set role, bot, state, generation, ban and mute of an account, if it still has those that it had, and who
-- changes it still has their role. KEYS: account; the addresses it logged in from and its tokens, which are
-- forgotten with another generation (but not the tokens of who is banned or disabled now: they are void, and
-- say who asks why); the roles and the restricted accounts of the partition. ARGV: the epoch
-- (unused); what was set, as it was; as it is to be; the key of the account; who changes it and their role, or
-- two empty ones; 1 if the person's status goes with that, else 0.
-- Returns 1, or 0 if nothing was set. One without them is a member, no bot, active, of generation 0.

local account, addresses, tokens, roles, restricted = unpack(KEYS)
local fields = { 'role', 'bot', 'state', 'generation', 'ban', 'mute' }
local defaults = { 'member', '0', 'active', '0', '', '' }
local key, actor, role, ends_status = unpack(ARGV, 2 + 2 * #fields)
local found = redis.call('HMGET', account, 'name', unpack(fields))
if not found[1] then
  return 0
end
for place = 1, #fields do
  if (found[place + 1] or defaults[place]) ~= ARGV[place + 1] then
    return 0
  end
end
if actor ~= '' and (redis.call('HGET', roles, actor) or role) ~= role then
  return 0
end
local after = { unpack(ARGV, 2 + #fields, 1 + 2 * #fields) }
for place = 1, #fields do
  redis.call('HSET', account, fields[place], after[place])
end
if ends_status == '1' then
  redis.call('HDEL', account, 'status')
end
if ARGV[5] ~= after[4] then
  redis.call('DEL', addresses)
  local is_shut = after[3] == 'disabled' or (after[3] == 'active' and after[5] ~= '')
  if not is_shut then
    redis.call('DEL', tokens)
  end
end
if after[5] == '' and after[6] == '' then
  redis.call('ZREM', restricted, key)
else
  redis.call('ZADD', restricted, 0, key)
end
return 1
