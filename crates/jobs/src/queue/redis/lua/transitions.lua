-- The transitions of jobs: every script changes jobs through `go`, `arrive`, `wait_again` and
-- `leave`. Comes after events.lua.

-- Transitions -------------------------------------------------------------------------------------

local function allowed(from, to) return (NEXT[from] or {})[to] == true end

-- Where a job stands in its lane, if it has not taken over another's place or been put last.
local function rank(job) return job.rank or job.priority * RANKS + job.seq end

-- A job as a lane offers it: an id has 36 characters.
local function offered_as(job) return job.id .. job.subject end

-- Offers a job no more that could have run.
local function withdraw(job)
  attempt('ZREM', job.lost and K.suspects or K.lane .. job.lane, offered_as(job))
end

-- Takes a job to another state, which it is in `at` some time: when it is due, or until when it is
-- leased; NOW otherwise. `more`, all optional: reason, failure (JSON), superseded_by, by (who did
-- it).
local function go(job, to, at, more)
  local from, id, known = job.state, job.id, gateway(job.lane)
  if not allowed(from or 'new', to) then
    error('unchecked transition from ' .. (from or 'new') .. ' to ' .. to)
  end
  at, more = at or NOW, more or NOTHING
  if from then known[from] = less(known[from]) end
  known[to] = (known[to] or 0) + 1
  if from == 'ready' and to ~= 'running' then withdraw(job) end
  if from == 'blocked' then attempt('ZREM', K.blocked .. job.lane, id) end

  if not stays_plain(job, from, to) then
    local before = job.timeline or from and plain_timeline(job)
    local line = (before and before .. ';' or '') .. to .. ' ' .. NOW_TEXT
    if #line > 1200 then line = line:sub(line:find(';', 1, true) + 1) end
    job.timeline = line
  end
  job.state, job.since, moved[id] = to, NOW, at
  put(job, 'next_at', WAITING[to] and at or nil)
  put(job, 'snoozed_by', nil)
  if more.failure then job.failure = more.failure end
  if FAILING[to] then
    if job.failure then join_group(job) end
  elseif job.group and ENDED[to] then
    leave_group(job)
  end
  if ENDED[to] then
    if more.reason then job.reason = more.reason end
    put(job, 'superseded_by', more.superseded_by)
    if from == 'scheduled' then
      attempt('ZREM', K.later .. job.subject, id)
    elseif job.lined then
      leave_line(job.subject, id)
    end
    if to == 'cancelled' then withdraw_document(job) end
    if job.expires_at then call('ZREM', K.expiry, id) end
  end
  save(job)
  if to ~= 'ready' and to ~= 'running' and to ~= 'scheduled' then meter(job, to) end
  emit_job(job, from, to, at, more)
end

-- The order of jobs -------------------------------------------------------------------------------

-- Puts a lane that has something to run at the end of the rotation, of its owner or of everybody.
local function offer_lane(lane)
  local known = gateway(lane)
  -- One that is held comes back by K.held.
  if (known.held_until or 0) > NOW then return end
  join_rotation(known.owner and K.own .. known.owner or K.lanes, lane)
  wake(known.owner)
end

-- How many runs a lane may have at once: few until its gateway has answered, and when it has not
-- been heard of for a while. Also returns whether it has been.
local FEW = 2
local function window(known)
  local HEARD = 300000
  local heard = known.heard_at and NOW - known.heard_at < HEARD
  return heard and known.window or FEW, heard
end

-- Offers a job to its lane if it can run. It is the first of the line of its subject.
local function offer_job(job)
  -- Of jobs that merge, an older one can become ready, or be so again, while newer ones run: it
  -- waits for them.
  local waits = MERGES[job.kind] and gateway(job.lane).merging
  if job.state == 'ready' and not waits and job.lost then
    -- It runs alone; see alone.lua.
    attempt('ZADD', K.suspects, rank(job), offered_as(job))
    wake()
  elseif job.state == 'ready' and not waits then
    attempt('ZADD', K.lane .. job.lane, rank(job), offered_as(job))
    offer_lane(job.lane)
  end
end

-- The first job of a line that is ready.
local function first_ready(subject)
  for _, id in ipairs(line_ids(subject, 0, LINE - 1)) do
    local job = read(id)
    if job and job.state == 'ready' then return job end
  end
end

-- Offers the first job of a subject. Of jobs that merge, one that waits does not keep those behind
-- it from running: the newest entry of an agent counts, whenever an older one runs.
local function offer(subject)
  local id = line_ids(subject, 0, 0)[1]
  local job = id and read(id)
  if job and MERGES[job.kind] and not gateway(job.lane).merging then job = first_ready(subject) end
  if job then offer_job(job) end
end

-- By id of the newer job.
local replaced

-- A newer job takes the place of an older one that does not run. What must not get lost of it is in
-- the agent's record.
local function supersede(older, newer)
  if rank(older) < rank(newer) then
    newer.rank = rank(older)
    save(newer)
  end
  go(older, 'superseded', NOW, { superseded_by = newer.id })
  replaced[newer.id] = replaced[newer.id] or {}
  table.insert(replaced[newer.id], older.id)
end

local function replaces(newer, older) return (REPLACES[newer.kind] or {})[older.kind] == true end

-- The newest job of the line that would take the place of this one; nil if none.
local function successor(job)
  if MERGES[job.kind] or not job.lined then return nil end
  local line = line_ids(job.subject, -LINE, -1)
  read_all(line)
  for i = #line, 1, -1 do
    local other = line[i] ~= job.id and read(line[i])
    if other and other.seq > job.seq and replaces(other, job) then return other end
  end
end

-- How many more jobs of lines that merge a call looks at.
local to_look_at

-- A job joins the line of its subject, and settles what becomes of older ones there.
local function join_line(job)
  -- The lines of jobs that merge can be long; those of others never are.
  local most = MERGES[job.kind] and math.max(math.min(LINE, to_look_at), 1) or LINE
  local line = line_ids(job.subject, 0, most - 1)
  read_all(line)
  if MERGES[job.kind] then to_look_at = to_look_at - #line end
  for _, id in ipairs(line) do
    local older = read(id)
    if not older then
      leave_line(job.subject, id)
    elseif older.seq < job.seq and older.state ~= 'running' then
      if replaces(job, older) then
        supersede(older, job)
      elseif older.state ~= 'ready' then
        go(older, 'ready')
      end
    end
  end
  if not MERGES[job.kind] and gateway(job.lane).scheduled then
    for _, id in ipairs(attempt('ZRANGE', K.later .. job.subject, 0, LINE - 1) or {}) do
      local older = read(id)
      if not older then
        attempt('ZREM', K.later .. job.subject, id)
      elseif older.seq < job.seq and older.id ~= job.id then
        supersede(older, job)
      end
    end
  end
  add_to_line(job)
  local first = line[1] and read(line[1])
  if first and first.seq > job.seq then withdraw(first) end
  if #line == 0 then
    offer_job(job)
  else
    offer(job.subject)
  end
end

-- A job is due for the first time, in that state or a new one.
local function arrive(job)
  -- An agent is to be deleted only once its cleanup is due.
  if job.kind == 'cleanup' and not record_agent(job) then
    go(job, 'superseded', NOW, { superseded_by = agent_record(job.subject).job })
  else
    go(job, 'ready')
    join_line(job)
  end
end

-- A run is over without an end of the job: it waits in that state, unless something else has become
-- of it meanwhile.
local function wait_again(job, to, at, failure)
  local newer = successor(job)
  if failure then job.failure = failure end
  if job.cancel then
    go(job, 'cancelled', NOW, { reason = job.cancel, failure = failure })
  elseif (job.expires_at or math.huge) <= at then
    go(job, 'dead', NOW, { reason = 'expired', failure = failure })
  elseif newer then
    supersede(job, newer)
  else
    -- `expire` may have struck it off while it ran, by a clock that has been set back since.
    if job.expires_at then call('ZADD', K.expiry, job.expires_at, job.id) end
    go(job, to, at, { failure = failure })
  end
end

-- A lane that runs nothing has no owner any more.
local function disown(lane, known)
  if known.owner and not known.running then
    leave_rotation(K.own .. known.owner, lane)
    known.owner = nil
  end
end

-- Frees the place of a job that runs no more in its lane, and offers what can run now.
local function leave(job)
  local known = gateway(job.lane)
  if MERGES[job.kind] then known.merging = less(known.merging) end
  disown(job.lane, known)
  if job.lined or not ENDED[job.state] then offer(job.subject) end
  -- Others may have waited for the place.
  if known.ready then offer_lane(job.lane) end
end

-- The gateway is left alone for a while.
local function hold(lane, ms)
  local known = gateway(lane)
  known.held_until = math.max(known.held_until or 0, NOW + ms)
  call('ZADD', K.held, known.held_until, lane)
  -- Idle workers have to look again, to know until when.
  wake()
end

-- The gateway may be called again.
local function unhold(lane)
  local known = gateway(lane)
  put(known, 'failures', nil)
  put(known, 'away_since', nil)
  if known.held_until then
    known.held_until = nil
    call('ZREM', K.held, lane)
  end
end

-- Notes a run that ended, before its job goes to another state. `result` is JSON: outcome, code,
-- message, action, steps.
local function note(job, result)
  local run = '{"number":'
    .. text(job.runs)
    .. ',"worker":'
    .. quoted(job.worker or '')
    .. ',"started_at_ms":'
    .. text(job.started_at or 0)
    .. ',"ended_at_ms":'
    .. NOW_TEXT
    .. ',"result":'
    .. result
    .. '}'
  local before = job.runs > 1 and out_of(job.id) or '\n'
  if job.runs > 20 then before = before:gsub('^([^\n]*\n)[^\n]*\n', '%1') end
  outs[job.id] = before .. run .. '\n'
end

-- Whether that worker still holds that lease.
local function holds(job, worker, token)
  return job and job.state == 'running' and job.worker == worker and job.token == token
end
