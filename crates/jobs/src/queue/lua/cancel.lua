-- Ends a job that is not wanted any more. A running one is marked: its worker learns of it when it renews the lease.
-- KEYS  1 the queue's prefix
-- ARGV  1 id  2 by whom  3 why
-- Returns {what came of it, the state it was in}: `ok`; `missing`; `refused`, because it has ended and is not dead.
-- Cost  about 15 commands.

local job = read(ARGV[1])
if not job then return { 'missing', '' } end
local from = job.state
if not allowed(from, 'cancelled') then return { 'refused', from } end
local why = 'cancelled by ' .. ARGV[2] .. (ARGV[3] ~= '' and ': ' .. ARGV[3] or '')
if from == 'running' then
  job.cancel = why
  save(job)
else
  go(job, 'cancelled', NOW, { reason = why, by = ARGV[2] })
  offer(job.subject)
end
return { 'ok', from }
