-- Reads a page of the jobs in a state: ended jobs latest first, the others soonest first.
-- KEYS  1 the queue's prefix
-- ARGV  1 state  2 latest first: 1 or 0  3 kind or empty  4 lane or empty  5 where to begin  6 how
--       many
-- Returns {where to continue or -1, ids, fields and values per job, flat, without the document,
--   where to continue behind each job}.
-- Cost  at most 500 jobs are examined.

local LOOK = 500
local first, limit = tonumber(ARGV[5]), tonumber(ARGV[6])
local range = ARGV[2] == '1' and 'ZREVRANGE' or 'ZRANGE'
local found = call(range, K.state .. ARGV[1], first, first + LOOK - 1)
local ids, found_jobs, places, seen = {}, {}, {}, 0
read_all(found)
for _, id in ipairs(found) do
  if #ids == limit then break end
  seen = seen + 1
  local job = read(id)
  if job and (ARGV[3] == '' or ARGV[3] == job.kind) and (ARGV[4] == '' or ARGV[4] == job.lane) then
    ids[#ids + 1], found_jobs[#found_jobs + 1], places[#places + 1] =
      id, shown_job(job), first + seen
  end
end
local more = seen < #found or #found == LOOK
return { more and first + seen or -1, ids, found_jobs, places }
