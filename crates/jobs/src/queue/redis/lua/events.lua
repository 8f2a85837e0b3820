-- The events of the stream and the records of the audit. Comes after writing.lua.

-- The events of this call in their order, each JSON or a batch: jobs that went from one state to
-- another without anything else to be said. By states the latest batch, and by job the place of its
-- latest event.
local told, batches, latest_of

-- `,"name":value` of those that have one; `value` is JSON.
local function member(name, value) return value and ',"' .. name .. '":' .. value or '' end

-- Most of what is quoted is the name of one worker.
local in_quotes
local function quoted(value)
  if value and not in_quotes[value] then in_quotes[value] = cjson.encode(value) end
  return in_quotes[value]
end

local NOTHING = {}

-- Tells of a job in a batch. What a job did stays in order.
local function tell(job, from, to)
  local id, states = job.id, (from or '') .. '>' .. to
  local batch = batches[states]
  if not batch or (latest_of[id] or 0) > batch.place then
    batch = { place = #told + 1, from = from, to = to, said = {} }
    batch.worker = to == 'running' and job.worker or nil
    told[#told + 1], batches[states] = batch, batch
  end
  latest_of[id] = batch.place
  batch.said[#batch.said + 1] = '["'
    .. id
    .. '","'
    .. job.kind
    .. '","'
    .. job.subject
    .. '",'
    .. job.runs
    .. ','
    .. job.attempts
    .. ']'
end

-- A job went from one state, or none, to another. Ids, kinds and states are words; the rest may
-- hold anything.
local function emit_job(job, from, to, at, more)
  local waits = WAITING[to]
  if more == NOTHING and not waits then
    tell(job, from, to)
    return
  end
  told[#told + 1] = '{"v":1,"event":"job","at_ms":'
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
    .. member('next_at_ms', waits and text(at))
    .. member('reason', quoted(more.reason))
    .. member('superseded_by', quoted(more.superseded_by))
    .. member('by', quoted(more.by))
    .. member('failure', more.failure)
    .. '}'
  latest_of[job.id] = #told
end

local function write_events()
  for i, event in ipairs(told) do
    if type(event) == 'table' then
      event = '{"v":2,"event":"jobs","at_ms":'
        .. NOW_TEXT
        .. member('from', event.from and quoted(event.from) or 'null')
        .. member('to', quoted(event.to))
        .. member('worker', quoted(event.worker))
        .. ',"jobs":['
        .. table.concat(event.said, ',')
        .. ']}'
    end
    if i < #told then
      attempt('XADD', K.events, '*', 'event', event)
    else
      attempt('XADD', K.events, 'MAXLEN', '~', 100000, '*', 'event', event)
    end
  end
end

-- Something happened to the queue.
local function emit_queue(event)
  event.v, event.at_ms = 1, NOW
  told[#told + 1] = cjson.encode(event)
end

-- Somebody did something by hand; scripts for that have as ARGV 1 to 3 who, from where and why.
-- `before` and `after` are states.
local function audit(action, target, before, after)
  attempt(
    'XADD',
    K.audit,
    'MAXLEN',
    '~',
    10000,
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
