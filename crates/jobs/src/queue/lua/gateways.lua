-- Reads what is known of the gateways that jobs came for latest.
-- KEYS  1 the queue's prefix
-- ARGV  1 how many at most
-- Returns per gateway {lane, fields and values, flat}.
-- Cost  2 commands; the caller asks for 200 gateways at most.

local lanes_known = redis.call('ZREVRANGE', K.gateways, 0, tonumber(ARGV[1]) - 1)
if #lanes_known == 0 then return {} end
local answer = {}
for i, packed in ipairs(redis.call('HMGET', K.gateway, unpack(lanes_known))) do
  answer[i] = { lanes_known[i], shown(packed and cmsgpack.unpack(packed) or {}) }
end
return answer
