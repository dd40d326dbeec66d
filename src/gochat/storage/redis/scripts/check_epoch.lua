-- Say what a partition is, to a node that has just reached the server process it is in now.
--
-- KEYS: state, feed; meta and log of the conversation of the last entry that the node knows (or of
-- any). ARGV: the epoch that the node knows (empty: none); the server process; an epoch to begin
-- with; the position and the seq of the last entry that the node knows; milliseconds of the gate.
-- Returns {status, epoch, position, 1 if the feed goes on without a gap, record}; the record is
-- "dropped" where such old entries are no longer kept. Status: "new"
-- the partition was empty; "renewed": a history that nobody here can vouch for is a new one;
-- "other": not the epoch that the node knows; "same".

local state, feed, meta, log = unpack(KEYS)
local known, run, fresh, seen, seq, gate = unpack(ARGV)
seen, seq = tonumber(seen), tonumber(seq)

local epoch, last_run, position = unpack(redis.call('HMGET', state, 'epoch', 'run', 'pos'))
position = tonumber(position or 0)

if not epoch then
  redis.call('DEL', feed)
  redis.call('HSET', state, 'epoch', fresh, 'run', run, 'pos', 0)
  redis.call('HDEL', state, 'gate')
  return { 'new', fresh, 0, 1, '' }
end
if known == '' then
  if last_run == run then
    return { 'same', epoch, position, 1, '' }
  end
  -- Another process has this data than the one that it was given to last, and this node has seen
  -- nothing of it. Nobody knows whether all of it is here.
  position = redis.call('HINCRBY', state, 'pos', 1)
  redis.call('XADD', feed, position .. '-0', 'e', cmsgpack.pack({ 'epoch', fresh }))
  redis.call('HSET', state, 'epoch', fresh, 'run', run)
  redis.call('HDEL', state, 'gate')
  return { 'renewed', fresh, position, 1, '' }
end
if last_run ~= run then
  -- Until the others have looked, too, nothing may be appended: it could take the place of what
  -- one of them has seen.
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('HSET', state, 'run', run, 'gate', now + tonumber(gate))
end
if known ~= epoch then
  return { 'other', epoch, position, 1, '' }
end
local record = ''
if seq > 0 then
  local base = tonumber(redis.call('HGET', meta, 'base') or 0)
  record = seq <= base and 'dropped' or redis.call('LINDEX', log, seq - 1 - base) or ''
end
local goes_on = 1
if position > seen then
  local after = redis.call('XRANGE', feed, (seen + 1) .. '-0', '+', 'COUNT', 1)
  goes_on = after[1] and after[1][1] == (seen + 1) .. '-0' and 1 or 0
end
return { 'same', epoch, position, goes_on, record }
