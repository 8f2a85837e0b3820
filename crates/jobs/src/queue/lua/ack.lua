-- Ends a run: writes how it ended and what becomes of the job.
-- KEYS  1 the queue's prefix
-- ARGV  1 id  2 worker  3 token  4 next state  5 delay in ms  6 whether the run counts: 1 or 0  7 reason of death
--       8 how long a job may be snoozed in a row, in ms  9 result for the history, JSON  10 failure, JSON  11 report, JSON
-- Returns the job's new state, or `lost` if the lease is another's by now. Repeating an ack changes nothing.
-- Cost  about 20 commands.

local id, worker, token, to, delay, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[7]
local job = read(id)
if not job or job.token ~= token then return 'lost' end
if job.state ~= 'running' then return job.state end
if job.worker ~= worker then return 'lost' end
if not allowed('running', to) then return refuse(id, 'running', to) end

local key = K.job .. id
if to == 'snoozed' then
  local since = tonumber(job.snoozed_since) or NOW
  redis.call('HSET', key, 'snoozed_since', text(since))
  if NOW + delay - since > tonumber(ARGV[8]) then to, delay, reason = 'dead', 0, 'snooze_deadline' end
else
  redis.call('HDEL', key, 'snoozed_since')
end

note(job, ARGV[9])
if ARGV[6] == '0' then redis.call('HINCRBY', key, 'attempts', -1) end
redis.call('HDEL', key, 'lost')
if ARGV[10] ~= '' then redis.call('HSET', key, 'failure', ARGV[10]) end
if ARGV[11] ~= '' then redis.call('HSET', key, 'report', ARGV[11]) end
move(id, 'running', to, NOW + delay)
leave(job)
if to == 'done' or to == 'dead' then
  redis.call('HSET', key, 'finished_at', text(NOW))
  if to == 'dead' then redis.call('HSET', key, 'reason', reason) end
else
  redis.call('HSET', key, 'next_at', text(NOW + delay))
  -- Idle workers have to look again, to know when this one is due.
  wake()
end
return to
