-- Change a person's row in a conversation that is theirs: move the read marker, or set the level.
--
-- KEYS: meta, log, who, mentions, own. ARGV: the epoch (unused); "read" or "level"; the person's key
-- and name; seq or level; seq and texts of the marker they have while there is no row of theirs.
-- Returns 1 if it changed. The error GONE: as in append.lua.

local meta, log, who, mentions, own = unpack(KEYS)
local _, what, person, name, value, read, texts_read = unpack(ARGV)

local packed = redis.call('HGET', who, person)
local row = packed and cmsgpack.unpack(packed)
  or (read ~= '' and { name, '', 0, tonumber(read), tonumber(texts_read), 'all' })
if not row or row[ROW.role] == 'invited' then
  return 0
end
if what == 'level' then
  row[ROW.level] = value
else
  local seq, base = unpack(redis.call('HMGET', meta, 'seq', 'base'))
  seq, base = math.min(tonumber(seq or 0), tonumber(value)), tonumber(base or 0)
  if seq <= row[ROW.read] then
    return 0
  end
  row[ROW.read] = seq
  if seq > base then
    local record = redis.call('LINDEX', log, seq - 1 - base)
    if not record then
      return redis.error_reply('GONE entries of a conversation have vanished')
    end
    row[ROW.texts] = cmsgpack.unpack(record)[RECORD.texts]
  end
  for _, unread in ipairs({ mentions, own }) do
    redis.call(
      'ZREMRANGEBYLEX', unread,
      '[' .. row[ROW.name] .. '\0', '[' .. row[ROW.name] .. '\0' .. string.format('%012d', seq)
    )
  end
end
redis.call('HSET', who, person, cmsgpack.pack(row))
return 1
