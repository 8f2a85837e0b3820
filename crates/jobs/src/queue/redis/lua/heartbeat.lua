-- A worker tells that it lives, or that it ends.
-- KEYS  1 the queue's prefix
-- ARGV  1 worker  2 host, or empty if it ends  3 version  4 process  5 jobs that it runs  6 how many it may run
-- Returns 1 if it is to take no more jobs, else 0.
-- Cost  4 commands, and 2 for workers that have not been heard of for an hour, 16 at most.

local FORGOTTEN = 3600000
local name, host = ARGV[1], ARGV[2]
for _, gone in ipairs(call('ZRANGEBYSCORE', K.beats, '-inf', NOW - FORGOTTEN, 'LIMIT', 0, 16)) do
  call('ZREM', K.beats, gone)
  call('HDEL', K.workers, gone)
end
if host == '' then
  call('ZREM', K.beats, name)
  call('HDEL', K.workers, name)
  return 0
end
local packed = call('HGET', K.workers, name)
local worker = packed and cmsgpack.unpack(packed) or { started_at = NOW }
worker.host, worker.version, worker.pid, worker.seen_at = host, ARGV[3], tonumber(ARGV[4]), NOW
worker.running, worker.concurrency = tonumber(ARGV[5]), tonumber(ARGV[6])
call('HSET', K.workers, name, cmsgpack.pack(worker))
call('ZADD', K.beats, NOW, name)
return worker.draining and 1 or 0
