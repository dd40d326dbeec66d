-- Remove some of the oldest entries of a conversation, as chat/retention.py says.
--
-- KEYS: state, meta, log, mentions, deleted, reactions, changed, own, pins. ARGV: the epoch; the time, or 0 for that
-- of Redis; for how many milliseconds entries are kept, and how many are (0: no limit); how many are removed at
-- most.
-- Returns 1 if there may be more to remove, else 0, also if it is another epoch. The error GONE: as in
-- append.lua.

local EVERYBODY = '@room' -- in mentions, as protocol/text.py says

local state, meta, log, mentions, deleted, reactions, changed, own, pins = unpack(KEYS)
local epoch, now, age, kept, limit = unpack(ARGV)
now, age, kept, limit = tonumber(now), tonumber(age), tonumber(kept), tonumber(limit)

if redis.call('HGET', state, 'epoch') ~= epoch then
  return 0
end
if now == 0 then
  local time = redis.call('TIME')
  now = math.floor(time[1] * 1000 + time[2] / 1000)
end
local cutoff = age > 0 and now - age or 0

local seq, base, is_indexed = unpack(redis.call('HMGET', meta, 'seq', 'base', 'indexed'))
seq, base = tonumber(seq or 0), tonumber(base or 0)
if redis.call('LLEN', log) ~= seq - base then
  return redis.error_reply('GONE entries of a conversation have vanished')
end
local last = kept > 0 and seq - kept or 0 -- up to here it is one too many

local function digits(number)
  return string.format('%012d', number)
end

-- Erase an entry that stays.
local function erase(number, record)
  record[RECORD.deleted], record[RECORD.text], record[RECORD.mentions] = 1, '', ''
  record[RECORD.extra], record[RECORD.pinned] = nil, nil
  redis.call('LSET', log, number - 1 - base, cmsgpack.pack(record))
end

-- Remove what is derived from a message that is not deleted.
local function forget(number, record)
  local of, sender, names = '\0' .. digits(number), record[RECORD.sender], record[RECORD.mentions]
  if string.sub(names, 1, #EVERYBODY) == EVERYBODY then
    redis.call('ZREM', mentions, EVERYBODY .. of, EVERYBODY .. ' ' .. sender .. of)
  else
    for one in string.gmatch(names, '[^,]+') do
      redis.call('ZREM', mentions, one .. of)
    end
  end
  redis.call('ZREM', own, sender .. of)
  local edited = record[RECORD.edited]
  if edited > number and edited <= seq then
    local edit = cmsgpack.unpack(redis.call('LINDEX', log, edited - 1 - base))
    if edit[RECORD.deleted] == 0 then
      erase(edited, edit)
    end
  end
end

local count, texts = 0, nil
for index, packed in ipairs(redis.call('LRANGE', log, 0, limit - 1)) do
  local number, record = base + index, cmsgpack.unpack(packed)
  local is_old = record[RECORD.ts] < cutoff
  if not is_old and number > last then
    break
  end
  local kind = record[RECORD.kind]
  local is_there = record[RECORD.deleted] == 0
  if number == seq then -- the log goes on from it
    if is_old and is_there and (kind == 'text' or kind == 'edit') then
      if kind == 'text' then
        forget(number, record)
        redis.call(
          'ZREMRANGEBYLEX', reactions, '[' .. digits(number) .. ':', '(' .. digits(number) .. ';'
        )
        redis.call('ZADD', deleted, number, number)
        if is_indexed then
          redis.call('ZADD', changed, number, number)
        end
      end
      erase(number, record)
    end
    break
  end
  if kind == 'text' and is_there then
    forget(number, record)
  end
  count, texts = count + 1, record[RECORD.texts]
end
if count == 0 then
  return 0
end
redis.call('LTRIM', log, count, -1)
base = base + count
redis.call('HSET', meta, 'base', base, 'base_texts', texts)
redis.call('ZREMRANGEBYSCORE', deleted, '-inf', base)
redis.call('ZREMRANGEBYLEX', reactions, '-', '[' .. digits(base) .. ';')
redis.call('ZREMRANGEBYLEX', pins, '-', '[' .. digits(base) .. ';')
return 1
