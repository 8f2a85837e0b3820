-- Hands jobs back unfinished: their runs do not count, and they are ready for anybody.
-- KEYS  1 the queue's prefix
-- ARGV  1 worker  2 why, for the history, then per job: id, token
-- Returns how many were still this worker's to hand back.
-- Cost  about 20 commands per job; a worker holds no more than it runs at a time.

local worker, result, released = ARGV[1], cjson.encode({ outcome = 'released', message = ARGV[2] }), 0
for i = 3, #ARGV, 2 do
  local job = read(ARGV[i])
  if holds(job, worker, ARGV[i + 1]) then
    note(job, result)
    redis.call('HINCRBY', K.job .. job.id, 'attempts', -1)
    redis.call('HDEL', K.job .. job.id, 'token')
    move(job.id, 'running', 'ready', NOW)
    leave(job)
    line_up(job)
    released = released + 1
  end
end
return released
