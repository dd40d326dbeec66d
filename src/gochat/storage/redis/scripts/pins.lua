-- Read what is pinned in a conversation: chat/pins.py.
--
-- KEYS: state, meta, log, pins. ARGV: the epoch (unused). Returns {epoch, {seq of the message, of the pin, record
-- of the pin} …}.

local state, meta, log, pins = unpack(KEYS)

local base = tonumber(redis.call('HGET', meta, 'base') or 0)
local found = { redis.call('HGET', state, 'epoch') }
for _, element in ipairs(redis.call('ZRANGE', pins, 0, -1)) do
  local seq, pin = string.match(element, '^(%d+):(%d+)$')
  local record = redis.call('LINDEX', log, tonumber(pin) - 1 - base)
  if record then
    found[#found + 1] = { tonumber(seq), tonumber(pin), record }
  end
end
return found
