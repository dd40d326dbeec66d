-- Find where to look back from in a conversation, and what of it is in the index.
--
-- KEYS: meta, log, changed. ARGV: the epoch (unused); a stamp, or nothing for the newest; 1 if an
-- entry of just this stamp is wanted, too; a seq that is looked at before, or nothing.
-- Returns {seq, stamp, indexed, changed}: of the newest entry in question, where seq is 0 if there is
-- none; up to where entries are in the index; the seqs of those that have changed since. The error GONE: as
-- in append.lua.

local meta, log, changed = unpack(KEYS)
local _, limit, is_wanted, before = unpack(ARGV)

local seq, base, indexed = unpack(redis.call('HMGET', meta, 'seq', 'base', 'indexed'))
seq, base, indexed = tonumber(seq or 0), tonumber(base or 0), tonumber(indexed or 0)

if redis.call('LLEN', log) ~= seq - base then
  return redis.error_reply('GONE entries of a conversation have vanished')
end

local function stamp(number)
  return cmsgpack.unpack(redis.call('LINDEX', log, number - 1 - base))[RECORD.stamp]
end

if before ~= '' then
  seq = math.max(base, math.min(seq, tonumber(before) - 1))
elseif limit ~= '' then
  local last = tonumber(limit)
  if is_wanted ~= '1' then
    last = last - 1
  end
  local low, high = base, seq
  while low < high do
    local middle = math.ceil((low + high) / 2)
    if stamp(middle) <= last then
      low = middle
    else
      high = middle - 1
    end
  end
  seq = low
end
if seq <= base then
  return { 0, 0, 0, {} }
end
return { seq, stamp(seq), indexed, redis.call('ZRANGE', changed, 0, -1) }
