-- Reads one job with everything that is known of it.
-- KEYS  1 the queue's prefix
-- ARGV  1 id
-- Returns {fields and values, history}; no fields if it is not there.
-- Cost  3 commands.

local layout = redis.call('GET', KEYS[1] .. ':layout')
if layout and layout ~= '1' then
  return redis.error_reply('LAYOUT the queue is of layout ' .. layout .. ', this program knows 1')
end
local job, history = KEYS[1] .. ':job:' .. ARGV[1], KEYS[1] .. ':history:' .. ARGV[1]
return { redis.call('HGETALL', job), redis.call('LRANGE', history, 0, -1) }
