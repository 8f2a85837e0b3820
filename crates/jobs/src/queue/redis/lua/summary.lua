-- Reads a summary of the queue.
-- KEYS  1 the queue's prefix
-- ARGV  1 the ms without a heartbeat after which a worker counts as gone
-- Returns {now, names of states and counts of jobs, oldest ready, next due, last ended (each a
--   time, or -1), workers with a recent heartbeat, how many of them drain, pauses: scopes and
--   JSON}.
-- Cost  24 commands, and 1 for all workers.

local function first(key, command)
  return tonumber(call(command or 'ZRANGE', key, 0, 0, 'WITHSCORES')[2]) or -1
end
local counts, due, ended = {}, -1, -1
for state in pairs(NEXT) do
  if state ~= 'new' then
    counts[#counts + 1], counts[#counts + 2] = state, call('ZCARD', K.state .. state)
  end
end
for state in pairs(WAITING) do
  local time = first(K.state .. state)
  if time >= 0 and (due < 0 or time < due) then due = time end
end
for state in pairs(ENDED) do
  ended = math.max(ended, first(K.state .. state, 'ZREVRANGE'))
end
local workers, draining = 0, 0
local heard = call('ZRANGEBYSCORE', K.beats, NOW - tonumber(ARGV[1]), '+inf', 'LIMIT', 0, 1000)
for _, packed in ipairs(#heard > 0 and call('HMGET', K.workers, unpack(heard)) or {}) do
  local known = packed and unpack_map(packed)
  if known then
    workers = workers + 1
    if known.draining then draining = draining + 1 end
  end
end
return {
  NOW,
  counts,
  first(K.state .. 'ready'),
  due,
  ended,
  workers,
  draining,
  call('HGETALL', K.paused),
}
