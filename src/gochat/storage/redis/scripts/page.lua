-- Read a page of a conversation.
--
-- KEYS: state, meta, log, reactions, who. ARGV: the epoch (unused); before, after (empty: not
-- given); limit; the viewer's name; their key,
-- where it matters whether they are in the room (else empty); and
-- of how many entries only the messages of others are read that are not deleted (0: all are read).
-- Returns {epoch, head, seq of the first entry, records, reactions, 1 if they are in the room, their
-- floor, up to which nothing is read, the seqs of the records if some are left out, the seq up to which entries were looked at,
-- the base}: of reactions, one after the other, {seq, emoji, count, 1 if the viewer's is among them, names …}. The
-- error GONE: keys of the conversation have vanished.

local NAMES = 10 -- enough to say who; the rest is a number

local state, meta, log, reactions, who = unpack(KEYS)
local _, before, after, limit, viewer, viewer_key, skipped = unpack(ARGV)
before, after, limit = tonumber(before), tonumber(after), tonumber(limit)
skipped = tonumber(skipped)

local epoch = redis.call('HGET', state, 'epoch')
local seq, base = unpack(redis.call('HMGET', meta, 'seq', 'base'))
seq, base = tonumber(seq or 0), tonumber(base or 0)

if redis.call('LLEN', log) ~= seq - base then
  return redis.error_reply('GONE entries of a conversation have vanished')
end

local is_inside, floor = 1, 0
if viewer_key ~= '' then
  local packed = redis.call('HGET', who, viewer_key)
  local row = packed and cmsgpack.unpack(packed)
  local role = row and row[ROW.role]
  is_inside = (role == 'member' or role == 'operator') and 1 or 0
  floor = row and row[ROW.floor] or 0
end

local first, last = math.max(base, floor) + 1, seq
if after then
  first = math.max(first, after + 1)
  last = math.min(last, first + math.max(limit, skipped) - 1)
else
  last = before and math.min(last, before - 1) or last
  first = math.max(first, last - limit + 1)
end
if first > last or limit < 1 then
  return { epoch, seq, 0, {}, {}, is_inside, floor, {}, seq, base }
end
local records = redis.call('LRANGE', log, first - 1 - base, last - 1 - base)

local numbers = {}
if skipped > 0 then
  local kept = {}
  for index, packed in ipairs(records) do
    local record = cmsgpack.unpack(packed)
    if record[RECORD.kind] == 'text' and record[RECORD.deleted] == 0 and record[RECORD.sender] ~= viewer then
      kept[#kept + 1] = packed
      numbers[#numbers + 1] = first + index - 1
      if #kept == limit then
        last = first + index - 1
        break
      end
    end
  end
  records = kept
  if #kept == 0 then
    return { epoch, seq, 0, {}, {}, is_inside, floor, {}, last, base }
  end
end

local given = redis.call(
  'ZRANGEBYLEX', reactions,
  '[' .. string.format('%012d:', first), '(' .. string.format('%012d;', last)
)
local found, by_emoji = {}, {}
for _, one in ipairs(given) do
  local target = tonumber(string.sub(one, 1, 12))
  local emoji, name = string.match(string.sub(one, 27), '^(%Z*)%z(.*)$')
  local place = target .. ':' .. emoji
  local reaction = by_emoji[place]
  if not reaction then
    reaction = { target, emoji, 0, 0 }
    by_emoji[place] = reaction
    found[#found + 1] = reaction
  end
  reaction[3] = reaction[3] + 1
  if name == viewer then
    reaction[4] = 1
  end
  if #reaction < NAMES + 4 then
    reaction[#reaction + 1] = name
  end
end
return { epoch, seq, first, records, found, is_inside, floor, numbers, last, base }
