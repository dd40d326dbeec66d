-- Read how a conversation stands for one person.
--
-- KEYS: state, meta, who, mentions, deleted, own, bans, slowed. ARGV: the epoch (unused); the person's key and name;
-- seq and texts of the read marker that they have while there is no row of theirs; the time, or 0 for that of
-- Redis.
-- Returns {epoch, seq, name, topic, private, history, slow, announcements, archived, role, read, level, unread,
-- mentions, floor, ts of the last entry, milliseconds until slow mode lets them write}; role is false where they have no row, and none was given; or it is
-- "banned", and the ban follows.

local EVERYBODY = '@room' -- in mentions, as protocol/text.py says
local COUNTED = 1000 -- as chat/store.py says: counts stop here

local state, meta, who, mentions, deleted, own, bans, slowed = unpack(KEYS)
local _, person, name, read, texts_read, now = unpack(ARGV)

local epoch = redis.call('HGET', state, 'epoch')
local seq, texts, base_texts, room, topic, private, base, history, ts, slow, announcements, archived =
  unpack(redis.call(
    'HMGET', meta, 'seq', 'texts', 'base_texts', 'name', 'topic', 'private', 'base', 'history', 'ts', 'slow',
    'announcements', 'archived'
  ))
slow = tonumber(slow or 0)
local packed = redis.call('HGET', who, person)
local row = packed and cmsgpack.unpack(packed)
  or (read ~= '' and { name, '', 0, tonumber(read), tonumber(texts_read), 'all' })
local about = {
  epoch, tonumber(seq or 0), room or '', topic or '', private or '', history or 'shown',
  slow, announcements or '', archived or '',
}
local function clock()
  local time = redis.call('TIME')
  return now ~= '0' and tonumber(now) or math.floor(time[1] * 1000 + time[2] / 1000)
end

-- Milliseconds until slow mode lets the person write.
local function wait()
  local at = slow > 0 and redis.call('ZSCORE', slowed, person)
  if not at or tonumber(at) > clock() then
    return 0
  end
  return math.max(0, tonumber(at) + 1000 * slow - clock())
end

if not row then
  local ban = room and redis.call('HGET', bans, person) -- of a private conversation these are blocks
  local ends = ban and cmsgpack.unpack(ban)[BAN.ends]
  if ends and ends > 0 then
    ban = ends > clock() and ban
  end
  about[#about + 1] = ban and 'banned'
  about[#about + 1] = ban
  return about
end

-- Of a set whose members are a name, NUL and a seq: how many of this name are after that seq.
local function count_after(set, name, number)
  return redis.call(
    'ZLEXCOUNT', set, '(' .. name .. '\0' .. string.format('%012d', number), '(' .. name .. '\1'
  )
end

local unread = tonumber(texts or 0) - math.max(row[ROW.texts], tonumber(base_texts or 0))
unread = unread - redis.call('ZCOUNT', deleted, '(' .. row[ROW.read], '+inf')
unread = unread - count_after(own, row[ROW.name], math.max(row[ROW.read], tonumber(base or 0)))
unread = math.max(0, math.min(unread, COUNTED))
local named = 0
if unread > 0 then
  local number = math.max(row[ROW.read], tonumber(base or 0))
  for name, sign in pairs({
    [row[ROW.name]] = 1, [EVERYBODY] = 1, [EVERYBODY .. ' ' .. row[ROW.name]] = -1,
  }) do
    named = named + sign * count_after(mentions, name, number)
  end
end
for _, one in ipairs({
  row[ROW.role], row[ROW.read], row[ROW.level], unread, math.min(named, COUNTED), row[ROW.floor] or 0,
  tonumber(ts or 0), wait(),
}) do
  about[#about + 1] = one
end
return about
