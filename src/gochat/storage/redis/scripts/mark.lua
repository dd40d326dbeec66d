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
if not row or row[2] == 'invited' then
  return 0
end
if what == 'level' then
  row[6] = value
else
  local head = redis.call('HMGET', meta, 'seq', 'base')
  local seq, base = tonumber(head[1] or 0), tonumber(head[2] or 0)
  seq = math.min(seq, tonumber(value))
  if seq <= row[4] then
    return 0
  end
  row[4] = seq
  if seq > base then
    local record = redis.call('LINDEX', log, seq - 1 - base)
    if not record then
      return redis.error_reply('GONE entries of a conversation have vanished')
    end
    row[5] = cmsgpack.unpack(record)[4]
  end
  for _, unread in ipairs({ mentions, own }) do
    redis.call(
      'ZREMRANGEBYLEX', unread,
      '[' .. row[1] .. '\0', '[' .. row[1] .. '\0' .. string.format('%012d', seq)
    )
  end
end
redis.call('HSET', who, person, cmsgpack.pack(row))
return 1
