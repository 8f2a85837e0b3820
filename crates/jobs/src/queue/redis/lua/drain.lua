-- Stops a worker from claiming jobs, or lets it claim them again. The worker learns of it with its
-- next heartbeat.
-- KEYS  1 the queue's prefix
-- ARGV  1 author  2 origin  3 reason  4 the worker's name  5 drain: 1 or 0
-- Returns the result: `ok`; `same`, because nothing changed; `missing`.
-- Cost  3 commands.

local name, drain = ARGV[4], ARGV[5] == '1'
local packed = call('HGET', K.workers, name)
local worker = packed and unpack_map(packed)
if not worker then return 'missing' end
if (worker.draining ~= nil) == drain then return 'same' end
worker.draining = drain and 1 or nil
call('HSET', K.workers, name, cmsgpack.pack(worker))
audit(
  drain and 'drain' or 'undrain',
  name,
  drain and 'working' or 'draining',
  drain and 'draining' or 'working'
)
return 'ok'
