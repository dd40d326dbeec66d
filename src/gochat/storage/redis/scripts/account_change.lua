-- Set role, bot, state and generation of an account, if it still has those that it had. KEYS: account; the
-- addresses it logged in from and its tokens, which are forgotten with another generation. ARGV: the epoch
-- (unused); role, bot, state and generation as they were; as they are to be.
-- Returns 1, or 0 if nothing was set. One without them is a member, no bot, active, of generation 0.

local account, addresses, tokens = unpack(KEYS)
local fields = { 'role', 'bot', 'state', 'generation' }
local defaults = { 'member', '0', 'active', '0' }
local found = redis.call('HMGET', account, 'name', unpack(fields))
if not found[1] then
  return 0
end
for place = 1, #fields do
  if (found[place + 1] or defaults[place]) ~= ARGV[place + 1] then
    return 0
  end
end
for place = 1, #fields do
  redis.call('HSET', account, fields[place], ARGV[place + 5])
end
if ARGV[5] ~= ARGV[9] then
  redis.call('DEL', addresses, tokens)
end
return 1
