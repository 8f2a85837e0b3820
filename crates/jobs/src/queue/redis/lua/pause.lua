-- Pauses or resumes all jobs, a kind or a gateway. Running jobs continue.
-- KEYS  1 the queue's prefix
-- ARGV  1 author  2 origin  3 reason  4 `pause` or `resume`  5 scope: all, kind:… or gateway:…
-- Returns 1, or 0 if there was nothing to resume. Pausing again replaces author and reason.
-- Cost  about 11 commands, and one per running job, at most 1000 of these.

local scope, by, why = ARGV[5], ARGV[1], ARGV[3]
-- Later shards copy the pauses when this has changed; see pauses.lua.
call('SET', K.pauses, text(math.max(NOW, (tonumber(call('GET', K.pauses)) or 0) + 1)))
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
resume_jobs(scope)
return 1
