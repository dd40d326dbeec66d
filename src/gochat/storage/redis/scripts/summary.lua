-- Read the heads of conversations of one partition, with a person's row in each.
--
-- KEYS: state, then meta and who of each conversation. ARGV: the epoch (unused); the person's key.
-- Returns {epoch, {seq, ts, row, or false where they have none} …}.

local person = ARGV[2]
local found = { redis.call('HGET', KEYS[1], 'epoch') }
for index = 2, #KEYS, 2 do
  local seq, ts = unpack(redis.call('HMGET', KEYS[index], 'seq', 'ts'))
  found[#found + 1] = {
    tonumber(seq or 0), tonumber(ts or 0), redis.call('HGET', KEYS[index + 1], person),
  }
end
return found
