-- Add a report. KEYS: the reports, by id; the ids of those that are open, by id; of those that are resolved, by
-- when they were; the ids of those that are open, by their digests; the settings. ARGV: the epoch (unused); the
-- field of the settings with the last id; the report; its digest; how many there may be.
-- Returns its id and 1; the id of an open one with this digest and 0; or 0 and 0 if there are too many open ones.

local reports, open, resolved, reported, settings = unpack(KEYS)
local _, last, report, digest, most = unpack(ARGV)
local found = redis.call('HGET', reported, digest)
if found then
  return { tonumber(found), 0 }
end
if redis.call('HLEN', reports) >= tonumber(most) then
  local first = redis.call('ZRANGE', resolved, 0, 0)[1]
  if not first then
    return { 0, 0 }
  end
  redis.call('ZREM', resolved, first)
  redis.call('HDEL', reports, first)
end
local id = redis.call('HINCRBY', settings, last, 1)
redis.call('HSET', reports, id, report)
redis.call('ZADD', open, id, id)
redis.call('HSET', reported, digest, id)
return { id, 1 }
