-- Makes a job ready at once because a person asked for it, and gives it all its attempts again.
-- KEYS  1 the queue's prefix
-- ARGV  1 author  2 origin  3 reason  4 id  5 force: 1 or 0
-- Returns {result, the state that the job was in}: `ok`; `missing`; `refused`, because of its
--   state; `outdated`, if it is dead, its subject has had a newer job and force is 0.
-- Cost  about 18 commands, more if it replaces other jobs.

local job = read(ARGV[4])
if not job then return { 'missing', '' } end
local from, by = job.state, ARGV[1]
if not (RETRYABLE[from] and allowed(from, 'ready')) then return { 'refused', from } end
local line = line_of(job.subject)
if from == 'dead' and line.seq > job.seq and ARGV[5] ~= '1' then return { 'outdated', from } end
for _, field in ipairs({
  'snoozed_since',
  'reason',
  'reprobed',
  'cancel',
  'lost',
  'effects',
}) do
  job[field] = nil
end
job.attempts = 0
unhold(job.lane)
if from == 'dead' then
  -- It was not in the line any more: it joins it as the newest. Among the jobs ever enqueued it
  -- stays where it was.
  local seq = next_of(K.seq)
  job.seq, job.rank, job.expires_at = seq, nil, nil
  note_latest(job.subject, seq, line.latest ~= '' and line.latest or job.id)
  if job.kind == 'cleanup' then
    -- A person decides: it counts as the newest of its agent, whatever its generation.
    job.generation = nil
    record_agent(job)
  elseif (agent_record(job.subject) or {}).phase then
    -- Its agent is to be deleted, or is: a new life begins with the job's own document. What it
    -- asked for once went with the life before.
    job.generation, job.parts = nil, 'tp'
    record_agent(job)
    job.parts = nil
  end
  go(job, 'ready', NOW, { by = by })
  join_line(job)
elseif from == 'scheduled' then
  attempt('ZREM', K.later .. job.subject, job.id)
  arrive(job)
else
  go(job, 'ready', NOW, { by = by })
  offer(job.subject)
end
if call('EXISTS', K.lane .. job.lane) == 1 then offer_lane(job.lane) end
audit('retry', job.id, from, job.state)
return { 'ok', from }
