-- Reads one job with everything that is known of it.
-- KEYS  1 the queue's prefix
-- ARGV  1 id
-- Returns {fields and values, history}; no fields if it is not there.
-- Cost  2 commands.

return { redis.call('HGETALL', K.job .. ARGV[1]), redis.call('LRANGE', K.history .. ARGV[1], 0, -1) }
