-- Reads the gateways with the latest jobs, or one gateway.
-- KEYS  1 the queue's prefix
-- ARGV  1 how many at most  2 the only one, or empty
-- Returns per gateway {lane, fields and values, flat}; `waiting_since` is the time since which the
--   job that comes next has been ready, and `last_job_at`, unless only one is asked for, that of
--   the last job for it.
-- Cost  2 commands, and 2 per gateway; the caller asks for at most 200.

local found = ARGV[2] ~= '' and { ARGV[2] }
  or call('ZREVRANGE', K.gateways, 0, tonumber(ARGV[1]) - 1, 'WITHSCORES')
local names, answer = {}, {}
for i = 1, #found, 2 do
  names[#names + 1] = found[i]
end
for i, packed in ipairs(#names > 0 and call('HMGET', K.gateway, unpack(names)) or {}) do
  local known = packed and unpack_map(packed) or {}
  local first = known.ready and (attempt('ZRANGE', K.lane .. names[i], 0, 0) or {})[1]
  local job = first and read(first:sub(1, 36))
  known.waiting_since = job and job.since or nil
  known.last_job_at = tonumber(found[2 * i])
  if packed or ARGV[2] == '' then answer[#answer + 1] = { names[i], shown(known) } end
end
return answer
