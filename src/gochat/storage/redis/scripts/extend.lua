-- Append entries that are copied from another store, if the conversation ends where the caller
-- believes: so nothing is there twice, whatever became of the one who tried before.
--
-- KEYS: meta, log, convs. ARGV: the conversation; the seq in front of the entries; how many of the
-- oldest entries of the conversation are not kept; seq, ts, texts and stamp of the last of the
-- entries; their records. Returns 1, or 0 if it ends elsewhere.

local meta, log, convs = unpack(KEYS)
local conversation, before, base, seq, ts, texts, stamp = unpack(ARGV, 1, 7)

local head = redis.call('HGET', meta, 'seq') or base
if tonumber(head) ~= tonumber(before) then
  return 0
end
if #ARGV > 7 then
  redis.call('RPUSH', log, unpack(ARGV, 8))
end
redis.call('HSET', meta, 'seq', seq, 'ts', ts, 'texts', texts, 'stamp', stamp)
if tonumber(base) > 0 then
  redis.call('HSET', meta, 'base', base, 'base_texts', 0)
end
redis.call('SADD', convs, conversation)
return 1
