-- Read the next entries of a conversation, those in front of them that have changed, and what else is kept of
-- it: all of one moment.
--
-- KEYS: meta, log, reactions, deleted, who, members, bans, pins, rooms. ARGV: the seq after which entries are read;
-- how many at most; the keys of people whose rows are read.
-- Returns {properties, length of the log, seq of the first entry, records, reactions, seqs of deleted messages,
-- {seq, record, {reactions}} of each earlier entry that may have changed, {row, 1 if listed as a member} of each
-- of the people, number of rows, bans, 1 if the room is listed, pins of the entries}; only the first two if the log is not as long
-- as it must be. Earlier entries may have changed if one of those read says so, and the last one in any case:
-- retention erases the newest entry where it is (remove.lua).

local meta, log, reactions, deleted, who, members, bans, pins, rooms = unpack(KEYS)
local after, limit = tonumber(ARGV[1]), tonumber(ARGV[2])

local properties = redis.call(
  'HMGET', meta, 'seq', 'base', 'name', 'topic', 'private', 'history', 'floor', 'slow', 'announcements',
  'archived', 'ts', 'texts', 'stamp', 'indexed'
)
local seq, base, name = tonumber(properties[1] or 0), tonumber(properties[2] or 0), properties[3]
local length = redis.call('LLEN', log)
if length ~= seq - base then
  return { properties, length }
end

local function digits(number)
  return string.format('%012d', number)
end

local function reactions_of(first, last)
  return redis.call('ZRANGEBYLEX', reactions, '[' .. digits(first) .. ':', '(' .. digits(last) .. ';')
end

local first = math.max(after, base) + 1
local last = math.min(seq, first + limit - 1)
local records, given, gone, pinned = {}, {}, {}, {}
if first <= last then
  records = redis.call('LRANGE', log, first - 1 - base, last - 1 - base)
  given = reactions_of(first, last)
  gone = redis.call('ZRANGE', deleted, first, last, 'BYSCORE')
  pinned = redis.call('ZRANGEBYLEX', pins, '[' .. digits(first), '(' .. digits(last) .. ';')
end

local changed, seen = {}, {}
local function add_earlier(number)
  if number and number > base and number < first and not seen[number] then
    seen[number] = true
    changed[#changed + 1] = {
      number, redis.call('LINDEX', log, number - 1 - base), reactions_of(number, number),
    }
  end
end

add_earlier(first - 1)
local changes = { edit = true, delete = true, react = true, unreact = true, pin = true, unpin = true }
for _, packed in ipairs(records) do
  local is_sound, record = pcall(cmsgpack.unpack, packed) -- who decodes them says what is damaged
  if is_sound and type(record) == 'table' and changes[record[RECORD.kind]] then
    add_earlier(tonumber(record[RECORD.ref]))
  end
end

local rows = {}
for index = 3, #ARGV do
  local person = ARGV[index]
  rows[#rows + 1] = {
    redis.call('HGET', who, person), redis.call('ZSCORE', members, person) and 1 or 0,
  }
end

return {
  properties, length, first, records, given, gone, changed, rows, redis.call('HLEN', who),
  redis.call('HGETALL', bans), name and redis.call('ZSCORE', rooms, name) and 1 or 0, pinned,
}
