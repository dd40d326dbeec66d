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

local head = redis.call('HMGET', meta, 'seq', 'base', 'indexed', 'first', 'turn')
local base = tonumber(head[2] or 0)
if not head[1] or (not head[3] and is_wanted ~= '1') then
  return {}
end
if not head[3] then
  head[3], head[4] = 0, math.floor(base / block)
  redis.call('HSET', state, 'index', 1)
  redis.call('HSET', meta, 'indexed', head[3], 'first', head[4])
end
return {
  redis.call('HGET', state, 'epoch') or '', tonumber(head[1]), base, tonumber(head[3]),
  tonumber(head[4]), tonumber(head[5] or 0), redis.call('ZRANGE', changed, 0, tonumber(limit) - 1),
}
