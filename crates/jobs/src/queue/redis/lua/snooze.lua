-- Makes a job wait because a person asked for it. This changes neither its attempts nor the time
-- that counts towards the limit for a busy gateway.
-- KEYS  1 the queue's prefix
-- ARGV  1 author  2 origin  3 reason  4 id  5 for how long in ms
-- Returns {result, the state that the job was in}: `ok`; `missing`; `refused`, because of its
--   state.
-- Cost  about 16 commands.

local by, why = ARGV[1], ARGV[3]
local job = read(ARGV[4])
if not job then return { 'missing', '' } end
local from = job.state
if not (SNOOZABLE[from] and allowed(from, 'snoozed')) then return { 'refused', from } end
job.snoozed_since = nil
go(job, 'snoozed', NOW + tonumber(ARGV[5]), { by = by })
if MERGES[job.kind] then offer(job.subject) end
job.snoozed_by = by .. (why ~= '' and ': ' .. why or '')
-- Idle workers have to look again, to know when this one is due.
wake()
audit('snooze', job.id, from, job.state)
return { 'ok', from }
