-- Cancels a job. A running job is marked, and its worker learns of it when it renews the lease.
-- KEYS  1 the queue's prefix
-- ARGV  1 author  2 origin  3 reason  4 id  5 whether to discard, which only dead jobs allow: 1 or
--       0
-- Returns {result, the state that the job was in}: `ok`; `missing`; `refused`, because of its
--   state.
-- Cost  about 16 commands.

local by, why, discard = ARGV[1], ARGV[3], ARGV[5] == '1'
local job = read(ARGV[4])
if not job then return { 'missing', '' } end
local from = job.state
if not allowed(from, 'cancelled') or discard and from ~= 'dead' then return { 'refused', from } end
local reason = 'cancelled by ' .. by .. (why ~= '' and ': ' .. why or '')
if from == 'running' then
  job.cancel = reason
  save(job)
else
  go(job, 'cancelled', NOW, { reason = reason, by = by })
  offer(job.subject)
end
audit(discard and 'discard' or 'cancel', job.id, from, job.state)
return { 'ok', from }
