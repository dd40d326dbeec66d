-- Prolong a node's lease, and look which others have one.
--
-- KEYS: nodes; the node's people. ARGV: the epoch (unused); the node; milliseconds of the lease.
-- Returns {1 if the node had a lease, the nodes that have one …}.

-- Milliseconds. None is given for longer (url.py): one that says so was given by a clock that was
-- ahead, and its node has either prolonged it since, or is gone.
local LONGEST_LEASE = 3600000

local nodes, people = unpack(KEYS)
local _, node, lease = unpack(ARGV)

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local had = redis.call('HEXISTS', nodes, node)
redis.call('HSET', nodes, node, now + tonumber(lease))
redis.call('PEXPIRE', people, 2 * tonumber(lease))

local reply = { had }
local all = redis.call('HGETALL', nodes)
for index = 1, #all, 2 do
  local left = tonumber(all[index + 1]) - now
  if left > 0 and left <= LONGEST_LEASE then
    reply[#reply + 1] = all[index]
  else
    redis.call('HDEL', nodes, all[index])
  end
end
return reply
