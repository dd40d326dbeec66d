-- Say what of a conversation is not in the index yet.
--
-- KEYS: state, meta, changed. ARGV: the epoch (unused); 1 if it is to be in the index, so that from
-- now on its changes are noted; entries of a block; how many changes are wanted at most.
-- Returns {epoch, seq, base, indexed, first, turn, changed}: the newest entry; up to where they are
-- no longer kept, and up to where they are in the index; the first block that may be in it; how often
-- it was written; the seqs of entries that have changed. Nothing if there is no such conversation, or
-- if it neither is in the index nor is to be.

local state, meta, changed = unpack(KEYS)
local _, is_wanted, block, limit = unpack(ARGV)

local seq, base, indexed, first, turn =
  unpack(redis.call('HMGET', meta, 'seq', 'base', 'indexed', 'first', 'turn'))
base = tonumber(base or 0)
if not seq or (not indexed and is_wanted ~= '1') then
  return {}
end
if not indexed then
  indexed, first = 0, math.floor(base / block)
  redis.call('HSET', state, 'index', 1)
  redis.call('HSET', meta, 'indexed', indexed, 'first', first)
end
return {
  redis.call('HGET', state, 'epoch') or '', tonumber(seq), base, tonumber(indexed),
  tonumber(first), tonumber(turn or 0), redis.call('ZRANGE', changed, 0, tonumber(limit) - 1),
}
