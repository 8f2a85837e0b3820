-- The events of the stream and the records of the audit. Comes after prelude.lua.

local function emit(json)
  emitted = true
  call('XADD', K.events, '*', 'event', json)
end

-- `,"name":value` of those that have one; `value` is JSON.
local function member(name, value) return value and ',"' .. name .. '":' .. value or '' end

-- Most of what is quoted is the name of one worker.
local in_quotes
local function quoted(value)
  if value and not in_quotes[value] then in_quotes[value] = cjson.encode(value) end
  return in_quotes[value]
end

local NOTHING = {}

-- A job went from one state, or none, to another. Ids, kinds and states are words; the rest may
-- hold anything.
local function emit_job(job, from, to, at, more)
  local rest = '}'
  if to == 'running' then
    rest = ',"worker":' .. quoted(job.worker) .. '}'
  elseif WAITING[to] then
    rest = ',"next_at_ms":' .. text(at) .. '}'
  end
  if more ~= NOTHING then
    rest = member('reason', quoted(more.reason))
      .. member('superseded_by', quoted(more.superseded_by))
      .. member('by', quoted(more.by))
      .. member('failure', more.failure)
      .. rest
  end
  emit(
    '{"v":1,"event":"job","at_ms":'
      .. NOW_TEXT
      .. ',"id":"'
      .. job.id
      .. '","kind":"'
      .. job.kind
      .. '","gateway":"'
      .. job.lane
      .. '","subject":"'
      .. job.subject
      .. (from and '","from":"' .. from .. '","to":"' or '","from":null,"to":"')
      .. to
      .. '","run":'
      .. text(job.runs)
      .. ',"attempts":'
      .. text(job.attempts)
      .. rest
  )
end

-- Something happened to the queue.
local function emit_queue(event)
  event.v, event.at_ms = 1, NOW
  emit(cjson.encode(event))
end

-- Somebody did something by hand; scripts for that have as ARGV 1 to 3 who, from where and why.
-- `before` and `after` are states.
local function audit(action, target, before, after)
  call(
    'XADD',
    K.audit,
    'MAXLEN',
    '~',
    AUDITED,
    '*',
    'entry',
    cjson.encode({
      v = 1,
      at_ms = NOW,
      by = ARGV[1],
      from = ARGV[2],
      action = action,
      target = target,
      before = before,
      after = after,
      why = ARGV[3],
    })
  )
end
