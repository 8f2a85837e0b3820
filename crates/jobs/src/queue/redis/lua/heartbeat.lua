-- Records the heartbeat of a worker, or that it ends.
-- KEYS  1 the queue's prefix
-- ARGV  1 worker  2 host, or empty if it ends  3 version  4 process id  5 jobs that it runs  6 jobs
--       that it may run at once
-- Returns 1 if the worker must claim no more jobs, else 0.
-- Cost  4 commands, and 2 for each worker without a heartbeat for an hour, at most 16 of these.

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
local worker = packed and unpack_map(packed) or { started_at = NOW }
worker.host, worker.version, worker.pid, worker.seen_at = host, ARGV[3], tonumber(ARGV[4]), NOW
worker.running, worker.concurrency = tonumber(ARGV[5]), tonumber(ARGV[6])
call('HSET', K.workers, name, cmsgpack.pack(worker))
call('ZADD', K.beats, NOW, name)
return worker.draining and 1 or 0
