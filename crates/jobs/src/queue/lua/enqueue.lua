-- Stores jobs, all or none.
-- KEYS  1 the queue's prefix
-- ARGV  per job: id, version, kind, lane, subject, max attempts, delay in ms, payload
-- Returns per job {id, state, ids of the jobs it replaced}. A job whose id is there already is left as it is.
-- Cost  about 10 commands per job; the caller sends 500 jobs at most.

local answer = {}
for i = 1, #ARGV, 8 do
  local id, delay = ARGV[i], tonumber(ARGV[i + 6])
  local state = redis.call('HGET', K.job .. id, 'state')
  if not state then
    state = delay > 0 and 'scheduled' or 'ready'
    local job = { id = id, lane = ARGV[i + 3], subject = ARGV[i + 4], seq = redis.call('INCR', K.seq) }
    redis.call('HSET', K.job .. id, 'version', ARGV[i + 1], 'kind', ARGV[i + 2], 'lane', job.lane,
      'subject', job.subject, 'seq', job.seq, 'max_attempts', ARGV[i + 5], 'attempts', 0, 'runs', 0,
      'enqueued_at', text(NOW), 'payload', ARGV[i + 7])
    move(id, 'new', state, NOW + delay)
    if state == 'ready' then
      line_up(job)
    else
      redis.call('HSET', K.job .. id, 'next_at', text(NOW + delay))
      wake()
    end
  end
  answer[#answer + 1] = { id, state, {} }
end
return answer
