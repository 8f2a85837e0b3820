-- Ends a job that is not wanted any more. A running one is marked: its worker learns of it when it renews the lease.
-- KEYS  1 the queue's prefix
-- ARGV  1 by whom  2 from where  3 why  4 id  5 whether to discard, which is for dead ones only: 1 or 0
-- Returns {what came of it, the state it was in}: `ok`; `missing`; `refused`, because of its state.
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
