-- Extends the leases that a worker holds.
-- KEYS  1 the queue's prefix
-- ARGV  1 worker  2 lease in ms, then per lease: id, token
-- Returns {tokens of the leases that are lost, tokens of the jobs that are to be cancelled}.
-- Cost  2 commands per lease; the caller sends 200 at most.

local worker, lost, cancelled = ARGV[1], {}, {}
for i = 3, #ARGV, 2 do
  local id, token = ARGV[i], ARGV[i + 1]
  local state, holder, held, cancel = unpack(redis.call('HMGET', K.job .. id, 'state', 'worker', 'token', 'cancel'))
  if state == 'running' and holder == worker and held == token then
    redis.call('ZADD', K.state .. 'running', 'XX', NOW + tonumber(ARGV[2]), id)
    if cancel then cancelled[#cancelled + 1] = token end
  else
    lost[#lost + 1] = token
  end
end
return { lost, cancelled }
