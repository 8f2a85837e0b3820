-- Reads a page of the jobs in a state: ended ones latest first, the others soonest first.
-- KEYS  1 the queue's prefix
-- ARGV  1 state  2 latest first: 1 or 0  3 kind or empty  4 lane or empty  5 where to begin  6 how many
--       7… the fields to read, `kind` and `lane` first
-- Returns {where to go on or -1, ids, values of the fields per job}.
-- Cost  at most 500 jobs looked at.

local LOOK = 500
local first, limit = tonumber(ARGV[5]), tonumber(ARGV[6])
local fields = {}
for i = 7, #ARGV do fields[#fields + 1] = ARGV[i] end

local range = ARGV[2] == '1' and 'ZREVRANGE' or 'ZRANGE'
local found = redis.call(range, K.state .. ARGV[1], first, first + LOOK - 1)
local ids, jobs, seen = {}, {}, 0
for _, id in ipairs(found) do
  if #ids == limit then break end
  seen = seen + 1
  local values = redis.call('HMGET', K.job .. id, unpack(fields))
  if (ARGV[3] == '' or ARGV[3] == values[1]) and (ARGV[4] == '' or ARGV[4] == values[2]) then
    ids[#ids + 1] = id
    jobs[#jobs + 1] = values
  end
end
local more = seen < #found or #found == LOOK
return { more and first + seen or -1, ids, jobs }
