-- Pauses or resumes all jobs, a kind or a gateway. Running jobs continue.
-- KEYS  1 the queue's prefix
-- ARGV  1 author  2 origin  3 reason  4 `pause` or `resume`  5 scope: all, kind:… or gateway:…
-- Returns 1, or 0 if there was nothing to resume. Pausing again replaces author and reason.
-- Cost  about 9 commands, and one per running job, at most 1000 of these.

local scope, by, why = ARGV[5], ARGV[1], ARGV[3]
if ARGV[4] == 'pause' then
  local before = call('HEXISTS', K.paused, scope) == 1 and 'paused' or 'active'
  call('HSET', K.paused, scope, cjson.encode({ by = by, reason = why, at_ms = NOW }))
  emit_queue({ event = 'paused', scope = scope, by = by, reason = why })
  audit('pause', scope, before, 'paused')
  return 1
end
if call('HDEL', K.paused, scope) == 0 then return 0 end
emit_queue({ event = 'resumed', scope = scope, by = by, reason = why })
audit('resume', scope, 'paused', 'active')
local lane = scope:match('^gateway:(.*)$')
if lane and call('EXISTS', K.lane .. lane) == 1 then offer_lane(lane) end
wake()
-- Of a lane that has running jobs only the worker that runs them can take more, and it may have
-- slots free.
for _, id in ipairs(call('ZRANGE', K.state .. 'running', 0, 999)) do
  local job = read(id)
  if job and job.worker then wake(job.worker) end
end
return 1
