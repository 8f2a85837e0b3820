-- Hands jobs back unfinished: their runs do not count, and any worker may take them.
-- KEYS  1 the queue's prefix
-- ARGV  1 worker  2 reason for the history, then per job: id, token
-- Returns how many of the jobs this worker still held.
-- Cost  about 15 commands per job; the caller sends at most 32.

local worker, result, released =
  ARGV[1], cjson.encode({ outcome = 'released', message = ARGV[2] }), 0
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
