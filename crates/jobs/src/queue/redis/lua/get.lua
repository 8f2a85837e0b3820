-- Reads one job with all its fields and runs.
-- KEYS  1 the queue's prefix
-- ARGV  1 id
-- Returns {fields and values, runs}, both flat; empty if the job does not exist; the error UNREADABLE
--   if its head cannot be read.
-- Cost  4 commands, 2 more if it cannot be read.

local job = read(ARGV[1])
if not job then
  local spoilt = call('HEXISTS', K.job, ARGV[1]) == 1
  if spoilt or call('HEXISTS', K.unreadable, 'job ' .. ARGV[1]) == 1 then
    local where = spoilt and K.job .. ' ' .. ARGV[1] or K.unreadable .. " 'job " .. ARGV[1] .. "'"
    return redis.error_reply(
      'UNREADABLE the head of job '
        .. ARGV[1]
        .. ' cannot be read (HGET '
        .. where
        .. '); enqueue its document again, if it is still wanted'
    )
  end
  return { {}, {} }
end
local fields, runs = shown_job(job, document_of(job)), {}
for run in (out_of(job.id):match('\n(.*)$') or ''):gmatch('[^\n]+') do
  runs[#runs + 1] = run
end
return { fields, runs }
