-- Read which entries of conversations of one partition may concern a person: chat/activity.py.
--
-- KEYS: state, then who and activity of each conversation. ARGV: the epoch (unused); the person's key and name.
-- Returns {epoch, {row, or false where they have none; those of the person; those of everybody} …}, each of the
-- last two a list of name, NUL, seq, ":", time.

local EVERYBODY = '@room' -- in mentions, as protocol/text.py says

local person, name = ARGV[2], ARGV[3]

local function of(key, whose)
  return redis.call('ZRANGEBYLEX', key, '[' .. whose .. '\0', '(' .. whose .. '\1')
end

local found = { redis.call('HGET', KEYS[1], 'epoch') }
for index = 2, #KEYS, 2 do
  found[#found + 1] = {
    redis.call('HGET', KEYS[index], person), of(KEYS[index + 1], name), of(KEYS[index + 1], EVERYBODY),
  }
end
return found
