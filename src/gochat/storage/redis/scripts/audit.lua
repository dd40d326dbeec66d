-- Append to the audit log. KEYS: the log. ARGV: the epoch (unused); the entry, packed; how many are kept.
-- Each element is the entry's id, NUL, and the entry. Returns the id.

local log = unpack(KEYS)
local _, entry, kept = unpack(ARGV)
local last = redis.call('LINDEX', log, -1)
local id = (last and tonumber(string.match(last, '^%d+')) or 0) + 1
redis.call('RPUSH', log, string.format('%d', id) .. '\0' .. entry)
redis.call('LTRIM', log, -tonumber(kept), -1)
return id
