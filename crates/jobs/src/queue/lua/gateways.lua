-- Reads what is known of the gateways that jobs came for latest.
-- KEYS  1 the queue's prefix
-- ARGV  1 how many at most
-- Returns per gateway {lane, fields and values, flat}.
-- Cost  1 command, and 1 per gateway; the caller asks for 200 at most.

local answer = {}
for i, lane in ipairs(call('ZREVRANGE', K.gateways, 0, tonumber(ARGV[1]) - 1)) do
  local packed = call('HGET', K.gateway, lane)
  answer[i] = { lane, shown(packed and cmsgpack.unpack(packed) or {}) }
end
return answer
