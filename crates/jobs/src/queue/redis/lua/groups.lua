-- Reads the groups of failures that jobs have not overcome yet, the latest first.
-- KEYS  1 the queue's prefix
-- ARGV  1 how many, or 0 for only the keys of all  2 gateway or empty  3 code or empty  4 method or
--       empty
-- Returns per group {its key, the number of its jobs, fields and values, flat}, or its key.
-- Cost  2 commands, and 1 per group; keys of at most 10,000 groups.

local most, names = tonumber(ARGV[1]), {}
for _, name in ipairs(call('ZREVRANGE', K.groups, 0, most == 0 and 9999 or most - 1)) do
  local lane, code, method = name:match('^(.*)|(.*)|(.*)$')
  local function fits(i, value) return ARGV[i] == '' or ARGV[i] == value end
  if fits(2, lane) and fits(3, code) and fits(4, method) then names[#names + 1] = name end
end
if most == 0 then return names end
local answer = {}
local packed = #names > 0 and call('HMGET', K.failures, unpack(names)) or {}
for i, name in ipairs(names) do
  answer[i] = {
    name,
    attempt('ZCARD', K.group .. name) or 0,
    shown(packed[i] and unpack_map(packed[i]) or {}),
  }
end
return answer
