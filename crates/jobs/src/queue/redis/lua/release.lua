-- Hands jobs back unfinished: their runs do not count, and they are ready for anybody.
-- KEYS  1 the queue's prefix
-- ARGV  1 worker  2 why, for the history, then per job: id, token
-- Returns how many were still this worker's to hand back.
-- Cost  about 15 commands per job; the caller sends 32 at most.

local worker, result, released = ARGV[1], cjson.encode({ outcome = 'released', message = ARGV[2] }), 0
for i = 3, #ARGV, 2 do
  local job = read(ARGV[i])
  if holds(job, worker, tonumber(ARGV[i + 1])) then
    note(job, result)
    meter(job, 'released')
    job.attempts, job.token = job.attempts - 1, nil
    wait_again(job, 'ready', NOW)
    leave(job)
    released = released + 1
  end
end
return released
