-- Makes a job ready at once because an operator says so, with all its attempts before it again.
-- KEYS  1 the queue's prefix
-- ARGV  1 id
-- Returns the state it was in, or nil if it is not there; refuses states that cannot be retried.
-- Cost  about 12 commands.

local job = read(ARGV[1])
if not job then return nil end
if not (RETRYABLE[job.state] and allowed(job.state, 'ready')) then return refuse(job.id, job.state, 'ready') end
redis.call('HDEL', K.job .. job.id, 'lost', 'snoozed_since', 'next_at', 'reason', 'finished_at')
redis.call('HSET', K.job .. job.id, 'attempts', 0)
move(job.id, job.state, 'ready', NOW)
line_up(job)
return job.state
