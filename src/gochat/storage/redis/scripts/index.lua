-- Put blocks of a conversation into the index, and take others out, unless somebody else did.
--
-- KEYS: state, meta, changed; a hash for each block that is put in; then one for each that is taken
-- out. ARGV: the epoch, how often the index was written, and the newest entry, as they were when the
-- caller looked; up to where entries are in the index now (empty: none is any more); the first block
-- that may be in it; packed: for each block {pieces, conversation, oldest, newest}, and the seqs of
-- the changed entries among them.
-- Returns 1, or 0 if nothing was done.

local state, meta, changed = KEYS[1], KEYS[2], KEYS[3]
local epoch, turn, seen, now, first, packed = unpack(ARGV)
local blocks, settled = unpack(cmsgpack.unpack(packed))

local indexed, turns = unpack(redis.call('HMGET', meta, 'indexed', 'turn'))
if
  not indexed
  or tonumber(turns or 0) ~= tonumber(turn)
  or redis.call('HGET', state, 'epoch') ~= epoch
then
  return 0
end
redis.call('HINCRBY', meta, 'turn', 1)
for number, block in ipairs(blocks) do
  local pieces, conversation, oldest, newest = unpack(block)
  redis.call(
    'HSET', KEYS[3 + number], 'pieces', pieces, 'conversation', conversation, 'oldest', oldest,
    'newest', newest
  )
end
for number = 4 + #blocks, #KEYS do
  redis.call('DEL', KEYS[number])
end
if now == '' then
  redis.call('HDEL', meta, 'indexed', 'first')
  redis.call('DEL', changed)
  return 1
end
redis.call('HSET', meta, 'indexed', now, 'first', first)
-- What has changed once more since the caller looked stays noted.
for _, ref in ipairs(settled) do
  local change = redis.call('ZSCORE', changed, ref)
  if change and tonumber(change) <= tonumber(seen) then
    redis.call('ZREM', changed, ref)
  end
end
return 1
