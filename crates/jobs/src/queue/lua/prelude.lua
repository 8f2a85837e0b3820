-- What all scripts share. Before it stand the generated tables: K (keys), NEXT, RETRYABLE, WAITING, ENDED (states), KINDS,
-- REPLACES, MERGES (kinds), and `now` (Redis's clock in ms).
--
-- A script checks before it writes, because Redis does not undo what a failing script has done. Jobs, lanes and numbers
-- are read once, changed in memory and written by `flush`, which runs at the end of every script, even a failing one.

local NOW = now()
-- LAYOUT stands in the Python client's get.lua as well.
local LAYOUT, HISTORY, LINE, TIMELINE = '1', 20, 100, 1200
local EVENTS, MINUTES_KEPT, REMEMBERED = 100000, 25 * 3600000, 30 * 86400000
local RANKS = 2 ^ 48

-- Redis writes whole numbers below 2^53 as such; where Lua makes text of them itself it needs help.
local function text(number) return string.format('%.0f', number) end

-- Jobs ------------------------------------------------------------------------------------------------------------------

local jobs = {}

local FIELDS = { 'state', 'version', 'kind', 'lane', 'subject', 'seq', 'rank', 'attempts', 'max_attempts', 'runs', 'lost',
  'worker', 'token', 'enqueued_at', 'started_at', 'snoozed_since', 'expires_at', 'priority', 'flags', 'inherited', 'cancel',
  'reprobed', 'lane_failures', 'timeline', 'payload' }

-- A job's fields, with its payload if that is asked for; nil if it is not there. Those that it has not are false.
-- `was` is the state that it is listed in, `at` its place there once it has moved.
local function read(id, with_payload)
  if jobs[id] then return jobs[id] end
  local v = redis.call('HMGET', K.job .. id, unpack(FIELDS, 1, with_payload and 25 or 24))
  if not v[1] then return nil end
  local job = { id = id, state = v[1], was = v[1], version = v[2], kind = v[3] or '', lane = v[4] or '',
    subject = v[5] or '', seq = tonumber(v[6] or 0), rank = tonumber(v[7] or 0), attempts = tonumber(v[8] or 0),
    max_attempts = tonumber(v[9] or 0), runs = tonumber(v[10] or 0), lost = tonumber(v[11] or 0), worker = v[12],
    token = v[13], enqueued_at = v[14], started_at = v[15], snoozed_since = v[16], expires_at = v[17],
    priority = tonumber(v[18] or 0), flags = v[19], inherited = v[20], cancel = v[21], reprobed = v[22],
    lane_failures = v[23], timeline = v[24], payload = v[25], sets = {} }
  jobs[id] = job
  return job
end

-- `sets` is a list of fields and values, as HSET wants it; `drops` has the fields that are gone, if any.
local function set(job, field, value)
  local sets, drops = job.sets, job.drops
  job[field], sets[#sets + 1], sets[#sets + 2] = value, field, value
  if drops then drops[field] = nil end
end

local function drop(job, field)
  job.drops = job.drops or {}
  job[field], job.drops[field] = false, true
end

-- Lanes -----------------------------------------------------------------------------------------------------------------

local lanes = {}

-- What the queue knows of a gateway, with how many of its jobs are in each state.
local function gateway(lane)
  local known = lanes[lane]
  if known then return known end
  local v = redis.call('HMGET', K.gateway .. lane, 'owner', 'busy', 'failures', 'held_until', 'merging', 'n:ready',
    'n:running', 'n:scheduled', 'n:retrying', 'n:snoozed', 'n:blocked', 'n:done', 'n:dead', 'n:superseded', 'n:cancelled')
  known = { owner = v[1] or '', busy = tonumber(v[2] or 0), failures = tonumber(v[3] or 0),
    held_until = tonumber(v[4] or 0), merging = tonumber(v[5] or 0), sets = {}, ['n:ready'] = v[6], ['n:running'] = v[7],
    ['n:scheduled'] = v[8], ['n:retrying'] = v[9], ['n:snoozed'] = v[10], ['n:blocked'] = v[11], ['n:done'] = v[12],
    ['n:dead'] = v[13], ['n:superseded'] = v[14], ['n:cancelled'] = v[15] }
  lanes[lane] = known
  return known
end

local function note_gateway(lane, field, value)
  local known = gateway(lane)
  known[field], known.sets[field] = value, value
end

-- Counts that a job of the gateway has left a state, or come to one.
local function count(lane, state, by)
  local field = 'n:' .. state
  note_gateway(lane, field, math.max(tonumber(gateway(lane)[field] or 0) + by, 0))
end

-- Numbers ---------------------------------------------------------------------------------------------------------------

local numbers, metered = {}, {}

-- The next number of a counter.
local function next_of(key)
  numbers[key] = (numbers[key] or tonumber(redis.call('GET', key) or 0)) + 1
  return numbers[key]
end

-- Counts something that happened to a job, for its kind and per minute.
local function meter(job, what)
  local kind = KINDS[job.kind] and job.kind or 'other'
  local of_kind = metered[kind]
  if not of_kind then
    of_kind = {}
    metered[kind] = of_kind
  end
  of_kind[what] = (of_kind[what] or 0) + 1
end

-- Counts a time in a histogram: bucket n holds times from 2^(n-1) ms to less than 2^n ms, bucket 0 those below 1 ms.
local function meter_time(job, what, ms)
  local bucket = 0
  while ms >= 1 and bucket < 31 do ms, bucket = ms / 2, bucket + 1 end
  meter(job, what .. bucket)
end

-- Wakes -----------------------------------------------------------------------------------------------------------------

local wakes, MYSELF = {}, nil

-- Wakes any idle worker, or that one. A token is enough: who takes it looks at everything.
local function wake(worker)
  if worker ~= '' and worker == MYSELF then return end
  wakes[worker == '' and K.wake or (K.wake .. ':' .. worker)] = true
end

-- Rotations -------------------------------------------------------------------------------------------------------------

-- Lanes that leave a rotation, and those that come to one, with their turns.
local left, offered = {}, {}

local function leave_rotation(key, lane)
  left[key] = left[key] or {}
  left[key][lane] = true
  if offered[key] then offered[key][lane] = nil end
end

local function join_rotation(key, lane)
  offered[key] = offered[key] or {}
  offered[key][lane] = offered[key][lane] or next_of(K.turn)
end

-- The end of every script -----------------------------------------------------------------------------------------------

-- Lists jobs by their new states. To be called before anything reads those lists.
local function write_states()
  local gone, come = {}, {}
  for id, job in pairs(jobs) do
    if job.at then
      if job.was and job.was ~= job.state then
        gone[job.was] = gone[job.was] or {}
        table.insert(gone[job.was], id)
      end
      local list = come[job.state] or {}
      list[#list + 1], list[#list + 2], come[job.state] = job.at, id, list
      job.was, job.at = job.state, nil
    end
  end
  for state, ids in pairs(gone) do redis.call('ZREM', K.state .. state, unpack(ids)) end
  for state, list in pairs(come) do redis.call('ZADD', K.state .. state, unpack(list)) end
end

-- Puts lanes into rotations and takes them out. To be called before anything reads those.
local function write_rotations()
  for key, set in pairs(left) do
    local names = {}
    for lane in pairs(set) do names[#names + 1] = lane end
    redis.call('ZREM', key, unpack(names))
  end
  for key, set in pairs(offered) do
    local list = {}
    for lane, turn in pairs(set) do list[#list + 1], list[#list + 2] = turn, lane end
    if #list > 0 then redis.call('ZADD', key, 'NX', unpack(list)) end
  end
  left, offered = {}, {}
end

local function write_jobs()
  for id, job in pairs(jobs) do
    if #job.sets > 0 then redis.call('HSET', K.job .. id, unpack(job.sets)) end
    local drops = {}
    for field in pairs(job.drops or {}) do drops[#drops + 1] = field end
    if #drops > 0 then redis.call('HDEL', K.job .. id, unpack(drops)) end
  end
end

local function write_lanes()
  for lane, known in pairs(lanes) do
    local args = {}
    for field, value in pairs(known.sets) do args[#args + 1], args[#args + 2] = field, value end
    if #args > 0 then redis.call('HSET', K.gateway .. lane, unpack(args)) end
  end
end

local function write_meters()
  if not next(metered) then return end
  local key = K.minute .. math.floor(NOW / 60000)
  for kind, happened in pairs(metered) do
    for what, times in pairs(happened) do redis.call('HINCRBY', key, kind .. '|' .. what, times) end
  end
  redis.call('PEXPIRE', key, MINUTES_KEPT)
end

local function flush()
  write_states()
  write_rotations()
  write_jobs()
  write_lanes()
  write_meters()
  for key, number in pairs(numbers) do redis.call('SET', key, number) end
  for key in pairs(wakes) do
    if redis.call('LLEN', key) == 0 then
      redis.call('RPUSH', key, '1')
      redis.call('PEXPIRE', key, 60000)
    end
  end
end

-- Events ----------------------------------------------------------------------------------------------------------------

local function emit(json) redis.call('XADD', K.events, 'MAXLEN', '~', EVENTS, '*', 'event', json) end

-- `,"name":value` of those that have one; `value` is JSON.
local function member(name, value) return value and ',"' .. name .. '":' .. value or '' end

local function quoted(value) return value and cjson.encode(value) end

-- A job went from one state, or none, to another. Ids, kinds and states are words; the rest may hold anything.
local function emit_job(job, from, to, at, more)
  emit(string.format('{"v":1,"event":"job","at_ms":%.0f,"id":"%s","kind":"%s","gateway":"%s","subject":"%s","from":%s,'
    .. '"to":"%s","run":%d,"attempts":%d%s%s%s%s%s%s}', NOW, job.id, job.kind, job.lane, job.subject,
    from and '"' .. from .. '"' or 'null', to, job.runs, job.attempts,
    to == 'running' and member('worker', quoted(job.worker)) or '', WAITING[to] and member('next_at_ms', text(at)) or '',
    member('reason', quoted(more.reason)), member('superseded_by', quoted(more.superseded_by)),
    member('by', quoted(more.by)), member('failure', more.failure)))
end

-- Something happened to the queue.
local function emit_queue(event)
  event.v, event.at_ms = 1, NOW
  emit(cjson.encode(event))
end

-- Transitions -----------------------------------------------------------------------------------------------------------

local function allowed(from, to) return (NEXT[from] or {})[to] == true end

-- Takes a job to another state. `more`, all optional: at (when due, or until when leased; NOW), reason, failure (JSON),
-- superseded_by, by (who did it).
local NO_MORE = {}
local function go(job, to, more)
  more = more or NO_MORE
  local from, at, id = job.state, more.at or NOW, job.id
  if not allowed(from or 'new', to) then error('unchecked transition from ' .. (from or 'new') .. ' to ' .. to) end
  job.at = at
  if from then count(job.lane, from, -1) end
  count(job.lane, to, 1)
  if from == 'blocked' then redis.call('ZREM', K.blocked .. job.lane, id) end

  local line = (job.timeline and job.timeline .. ';' or '') .. to .. ' ' .. text(NOW)
  if #line > TIMELINE then line = line:sub(line:find(';', 1, true) + 1) end
  set(job, 'state', to)
  set(job, 'timeline', line)
  if WAITING[to] then set(job, 'next_at', at) elseif WAITING[from] then drop(job, 'next_at') end
  if more.failure then set(job, 'failure', more.failure) end
  if ENDED[to] then
    set(job, 'finished_at', NOW)
    if more.reason then set(job, 'reason', more.reason) end
    if more.superseded_by then set(job, 'superseded_by', more.superseded_by) end
    redis.call('ZREM', K[from == 'scheduled' and 'later' or 'subject'] .. job.subject, id)
    if job.expires_at then redis.call('ZREM', K.expiry, id) end
  end
  if to ~= 'ready' and to ~= 'running' and to ~= 'scheduled' then meter(job, to) end
  emit_job(job, from, to, at, more)
end

-- The order of jobs -----------------------------------------------------------------------------------------------------

-- Puts a lane that has something to run at the end of the rotation, of its owner or of everybody.
local function offer_lane(lane)
  local known = gateway(lane)
  -- One that is held comes back by K.held.
  if known.held_until > NOW then return end
  join_rotation(known.owner == '' and K.lanes or (K.own .. known.owner), lane)
  wake(known.owner)
end

-- Offers a subject to its lane if the head of its line can run.
local function offer(lane, subject)
  local id = redis.call('ZRANGE', K.subject .. subject, 0, 0)[1]
  if not id then return end
  local head = read(id)
  -- Of jobs that merge, an older one can become ready, or be so again, while newer ones run: it waits for them.
  local waits = head and MERGES[head.kind] and gateway(lane).merging > 0
  if head and head.state == 'ready' and not waits then
    redis.call('ZADD', K.lane .. lane, head.rank, subject)
    offer_lane(lane)
  else
    redis.call('ZREM', K.lane .. lane, subject)
  end
end

-- A newer job takes the place of an older one that does not run, and what must not get lost of it.
local function supersede(older, newer)
  local all, letters = (newer.inherited or '') .. (older.inherited or '') .. (older.flags or ''), ''
  for _, letter in ipairs({ 'f', 'r', 'p' }) do
    if all:find(letter, 1, true) then letters = letters .. letter end
  end
  if letters ~= '' then set(newer, 'inherited', letters) end
  if older.rank < newer.rank then set(newer, 'rank', older.rank) end
  go(older, 'superseded', { superseded_by = newer.id })
  newer.replaced = newer.replaced or {}
  table.insert(newer.replaced, older.id)
end

local function replaces(newer, older) return (REPLACES[newer.kind] or {})[older.kind] == true end

-- The newest job of the line that would take the place of this one; nil if none.
local function successor(job)
  if MERGES[job.kind] then return nil end
  local line = redis.call('ZREVRANGE', K.subject .. job.subject, 0, LINE - 1)
  for _, id in ipairs(line) do
    local other = id ~= job.id and read(id)
    if other and other.seq > job.seq and replaces(other, job) then return other end
  end
end

-- A job is due for the first time: it joins the line of its subject, and settles what becomes of older ones there.
local to_look_at = 500
local function arrive(job)
  -- The lines of jobs that merge can be long; those of others never are.
  local most = MERGES[job.kind] and math.min(LINE, to_look_at) or LINE
  local line = most > 0 and redis.call('ZRANGE', K.subject .. job.subject, 0, most - 1) or {}
  if MERGES[job.kind] then to_look_at = to_look_at - #line end
  for _, id in ipairs(line) do
    local older = read(id)
    if not older then
      redis.call('ZREM', K.subject .. job.subject, id)
    elseif older.seq < job.seq and older.state ~= 'running' then
      if replaces(job, older) then
        supersede(older, job)
      elseif older.state ~= 'ready' then
        go(older, 'ready')
      end
    end
  end
  if not MERGES[job.kind] then
    for _, id in ipairs(redis.call('ZRANGE', K.later .. job.subject, 0, LINE - 1)) do
      local older = read(id)
      if not older then
        redis.call('ZREM', K.later .. job.subject, id)
      elseif older.seq < job.seq and older.id ~= job.id then
        supersede(older, job)
      end
    end
  end
  redis.call('ZADD', K.subject .. job.subject, job.seq, job.id)
  offer(job.lane, job.subject)
end

-- A run is over without an end of the job: it waits in that state, unless something else has become of it meanwhile.
local function wait_again(job, to, more)
  local newer = successor(job)
  if more.failure then set(job, 'failure', more.failure) end
  if job.cancel then
    go(job, 'cancelled', { reason = job.cancel, failure = more.failure })
  elseif tonumber(job.expires_at or math.huge) <= (more.at or NOW) then
    go(job, 'dead', { reason = 'expired', failure = more.failure })
  elseif newer then
    supersede(job, newer)
  else
    -- `expire` may have struck it off while it ran, by a clock that has been set back since.
    if job.expires_at then redis.call('ZADD', K.expiry, job.expires_at, job.id) end
    go(job, to, more)
  end
end

-- Frees the place of a job that runs no more in its lane, and offers what can run now.
local function leave(job)
  local known = gateway(job.lane)
  note_gateway(job.lane, 'busy', math.max(known.busy - 1, 0))
  if MERGES[job.kind] then note_gateway(job.lane, 'merging', math.max(known.merging - 1, 0)) end
  if known.busy == 0 and known.owner ~= '' then
    leave_rotation(K.own .. known.owner, job.lane)
    note_gateway(job.lane, 'owner', '')
  end
  offer(job.lane, job.subject)
  -- Others may have waited for the place.
  if redis.call('EXISTS', K.lane .. job.lane) == 1 then offer_lane(job.lane) end
end

-- The gateway is left alone for a while.
local function hold(lane, ms)
  note_gateway(lane, 'held_until', math.max(gateway(lane).held_until, NOW + ms))
  redis.call('ZADD', K.held, gateway(lane).held_until, lane)
  -- Idle workers have to look again, to know until when.
  wake('')
end

-- The gateway may be called again.
local function unhold(lane)
  local known = gateway(lane)
  if known.failures > 0 then note_gateway(lane, 'failures', 0) end
  if known.held_until > 0 then
    note_gateway(lane, 'held_until', 0)
    redis.call('ZREM', K.held, lane)
  end
end

-- Notes a run that ended. `result` is JSON: outcome, code, message, action, steps.
local function note(job, result)
  local noted = redis.call('RPUSH', K.history .. job.id, string.format(
    '{"number":%s,"worker":%s,"started_at_ms":%s,"ended_at_ms":%s,"result":%s}', text(job.runs),
    cjson.encode(job.worker or ''), text(tonumber(job.started_at) or 0), text(NOW), result))
  if noted > HISTORY then redis.call('LTRIM', K.history .. job.id, -HISTORY, -1) end
end

-- Whether that worker still holds that lease.
local function holds(job, worker, token)
  return job and job.state == 'running' and job.worker == worker and job.token == token
end
