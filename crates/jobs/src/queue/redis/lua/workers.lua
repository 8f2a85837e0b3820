-- Reads the workers with a heartbeat in the last hour, the latest first.
-- KEYS  1 the queue's prefix
-- ARGV  1 how many at most
-- Returns {now, per worker {its name, fields and values, flat}}.
-- Cost  2 commands.

local names = call('ZREVRANGE', K.beats, 0, tonumber(ARGV[1]) - 1)
local packed, found = #names > 0 and call('HMGET', K.workers, unpack(names)) or {}, {}
for i, name in ipairs(names) do
  local known = packed[i] and unpack_map(packed[i])
  if known then found[#found + 1] = { name, shown(known) } end
end
return { NOW, found }
