-- Extends the leases that a worker holds.
-- KEYS  1 the queue's prefix
-- ARGV  1 worker  2 lease in ms, then per lease: id, token
-- Returns {tokens of lost leases, tokens of jobs that were cancelled}.
-- Cost  2 commands per lease; the caller sends at most 100.

local worker, until_when, held, lost, cancelled = ARGV[1], NOW + tonumber(ARGV[2]), {}, {}, {}
for i = 3, #ARGV, 2 do
  local id, token = ARGV[i], tonumber(ARGV[i + 1])
  local job = read(id)
  if holds(job, worker, token) then
    held[#held + 1], held[#held + 2] = until_when, id
    if job.cancel then cancelled[#cancelled + 1] = token end
  else
    lost[#lost + 1] = token
  end
end
if #held > 0 then call('ZADD', K.state .. 'running', 'XX', unpack(held)) end
return { lost, cancelled }
