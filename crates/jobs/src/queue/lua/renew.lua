-- Extends the leases that a worker holds.
-- KEYS  1 the queue's prefix
-- ARGV  1 worker  2 lease in ms, then per lease: id, token
-- Returns the tokens of the leases that are lost.
-- Cost  2 commands per lease; a worker holds no more than it runs at a time.

local worker, lost = ARGV[1], {}
for i = 3, #ARGV, 2 do
  local id, token = ARGV[i], ARGV[i + 1]
  if holds(read(id), worker, token) then
    redis.call('ZADD', K.state .. 'running', 'XX', NOW + tonumber(ARGV[2]), id)
  else
    lost[#lost + 1] = token
  end
end
return lost
