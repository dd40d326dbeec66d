-- Begin a new epoch, if nobody has yet. KEYS: state, feed. ARGV: the old epoch, the new one; a name of
-- what was lost, for which one is begun once, or nothing.
-- Returns {epoch, position}, as they are now.

local state, feed = unpack(KEYS)
local old, new, loss = unpack(ARGV)
local epoch = redis.call('HGET', state, 'epoch')
local position = tonumber(redis.call('HGET', state, 'pos') or 0)
if epoch == old and (loss == '' or redis.call('HGET', state, 'loss') ~= loss) then
  epoch = new
  position = redis.call('HINCRBY', state, 'pos', 1)
  redis.call('XADD', feed, position .. '-0', 'e', cmsgpack.pack({ 'epoch', new }))
  redis.call('HSET', state, 'epoch', new, 'loss', loss)
  redis.call('HDEL', state, 'gate')
end
return { epoch, position }
