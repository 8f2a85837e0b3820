-- Put together from the files in crates/jobs/src/queue/lua and the tables beside them. Not to be edited.
local K = {
  job = KEYS[1] .. ':job:',
  history = KEYS[1] .. ':history:',
  state = KEYS[1] .. ':state:',
  layout = KEYS[1] .. ':layout',
  seq = KEYS[1] .. ':seq',
  turn = KEYS[1] .. ':turn',
  token = KEYS[1] .. ':token',
  subject = KEYS[1] .. ':subject:',
  later = KEYS[1] .. ':later:',
  latest = KEYS[1] .. ':latest:',
  lane = KEYS[1] .. ':lane:',
  gateway = KEYS[1] .. ':gateway:',
  gateways = KEYS[1] .. ':gateways',
  lanes = KEYS[1] .. ':lanes',
  own = KEYS[1] .. ':own:',
  held = KEYS[1] .. ':held',
  blocked = KEYS[1] .. ':blocked:',
  gone = KEYS[1] .. ':gone:',
  expiry = KEYS[1] .. ':expiry',
  paused = KEYS[1] .. ':paused',
  parked = KEYS[1] .. ':parked:',
  idem = KEYS[1] .. ':idem:',
  wake = KEYS[1] .. ':wake',
  pulse = KEYS[1] .. ':pulse',
  calm = KEYS[1] .. ':calm',
  events = KEYS[1] .. ':events',
  minute = KEYS[1] .. ':minute:',
  hour = KEYS[1] .. ':hour:',
}
local NEXT = {
  new = { scheduled = true, ready = true, },
  scheduled = { ready = true, dead = true, superseded = true, cancelled = true, },
  ready = { running = true, dead = true, superseded = true, cancelled = true, },
  running = { done = true, dead = true, retrying = true, snoozed = true, blocked = true, ready = true, superseded = true, cancelled = true, },
  retrying = { ready = true, dead = true, superseded = true, cancelled = true, },
  snoozed = { ready = true, dead = true, superseded = true, cancelled = true, },
  blocked = { ready = true, dead = true, superseded = true, cancelled = true, },
  done = { },
  dead = { ready = true, cancelled = true, },
  superseded = { },
  cancelled = { },
}
local RETRYABLE = { retrying = true, snoozed = true, blocked = true, dead = true, }
local WAITING = { scheduled = true, retrying = true, snoozed = true, blocked = true, }
local ENDED = { done = true, dead = true, superseded = true, cancelled = true, }
local KINDS = { ['provision'] = true, ['provision-main'] = true, ['cleanup'] = true, ['heartbeat-sync'] = true, }
local REPLACES = {
  ['provision'] = { ['provision'] = true, ['provision-main'] = true, },
  ['provision-main'] = { ['provision'] = true, ['provision-main'] = true, },
  ['cleanup'] = { ['provision'] = true, ['provision-main'] = true, ['cleanup'] = true, },
  ['heartbeat-sync'] = { },
}
local MERGES = { ['heartbeat-sync'] = true, }
local function now()
  local clock = redis.call('TIME')
  return clock[1] * 1000 + math.floor(clock[2] / 1000)
end
-- What all scripts share. Before it stand the generated tables: K (keys), NEXT, RETRYABLE, WAITING, ENDED (states), KINDS,
-- REPLACES, MERGES (kinds), and `now` (Redis's clock in ms).
--
-- A script checks before it writes, because Redis does not undo what a failing script has done. Jobs, lanes and numbers
-- are read once, changed in memory and written by `flush`, which runs at the end of every script, even a failing one.

local NOW = now()
local LAYOUT, HISTORY, LINE, TIMELINE = '1', 20, 100, 1200
local EVENTS, MINUTES_KEPT, HOURS_KEPT, REMEMBERED = 100000, 25 * 3600000, 32 * 86400000, 30 * 86400000
local RANKS = 2 ^ 48

local FIELDS = { 'state', 'version', 'kind', 'lane', 'subject', 'seq', 'rank', 'attempts', 'max_attempts', 'runs', 'lost',
  'worker', 'token', 'enqueued_at', 'started_at', 'next_at', 'snoozed_since', 'expires_at', 'priority', 'flags', 'inherited',
  'cancel', 'reprobed', 'lane_failures', 'timeline' }

-- Whole numbers as text; Lua would write big ones as 1.7e+12.
local function text(number) return string.format('%.0f', number) end

-- Jobs ------------------------------------------------------------------------------------------------------------------

local jobs = {}

-- A job's fields without its payload; nil if it is not there.
local function read(id)
  if jobs[id] then return jobs[id] end
  local values = redis.call('HMGET', K.job .. id, unpack(FIELDS))
  if not values[1] then return nil end
  local job = { id = id, sets = {}, drops = {} }
  for i, name in ipairs(FIELDS) do job[name] = values[i] or nil end
  job.kind, job.lane, job.subject = job.kind or '', job.lane or '', job.subject or ''
  for _, name in ipairs({ 'seq', 'rank', 'attempts', 'max_attempts', 'runs', 'lost', 'priority' }) do
    job[name] = tonumber(job[name]) or 0
  end
  jobs[id] = job
  return job
end

local function set(job, field, value)
  job[field], job.sets[field], job.drops[field] = value, value, nil
end

local function drop(job, field)
  if job[field] == nil then return end
  job[field], job.sets[field], job.drops[field] = nil, nil, true
end

-- Lanes -----------------------------------------------------------------------------------------------------------------

local lanes = {}

-- What the queue knows of a gateway.
local function gateway(lane)
  if lanes[lane] then return lanes[lane] end
  local values = redis.call('HMGET', K.gateway .. lane, 'owner', 'busy', 'failures', 'held_until')
  local known = { owner = values[1] or '', busy = tonumber(values[2]) or 0, failures = tonumber(values[3]) or 0,
    held_until = tonumber(values[4]) or 0, sets = {} }
  lanes[lane] = known
  return known
end

local function note_gateway(lane, field, value)
  local known = gateway(lane)
  known[field], known.sets[field] = value, value
end

-- Numbers ---------------------------------------------------------------------------------------------------------------

local numbers, tallies, metered = {}, {}, {}

-- The next number of a counter.
local function next_of(key)
  numbers[key] = (numbers[key] or tonumber(redis.call('GET', key)) or 0) + 1
  return numbers[key]
end

local function tally(key, field, by)
  tallies[key] = tallies[key] or {}
  tallies[key][field] = (tallies[key][field] or 0) + by
end

-- Counts something that happened to a job, for its kind, per minute and per hour.
local function meter(job, what)
  local field = (KINDS[job.kind] and job.kind or 'other') .. '|' .. what
  tally('minute', field, 1)
end

-- Counts a time in a histogram: bucket n holds times from 2^(n-1) ms to less than 2^n ms, bucket 0 those below 1 ms.
local function meter_time(job, what, ms)
  local bucket = 0
  while ms >= 1 and bucket < 31 do ms, bucket = ms / 2, bucket + 1 end
  meter(job, what .. '|' .. bucket)
end

-- Wakes -----------------------------------------------------------------------------------------------------------------

local wakes, MYSELF = {}, nil

-- Wakes any idle worker, or that one. A token is enough: who takes it looks at everything.
local function wake(worker)
  if worker ~= '' and worker == MYSELF then return end
  wakes[worker == '' and K.wake or (K.wake .. ':' .. worker)] = true
end

-- The end of every script -----------------------------------------------------------------------------------------------

local function write(key, sets)
  local args = {}
  for field, value in pairs(sets) do
    args[#args + 1] = field
    args[#args + 1] = type(value) == 'number' and text(value) or value
  end
  if #args > 0 then redis.call('HSET', key, unpack(args)) end
end

local function flush()
  for id, job in pairs(jobs) do
    write(K.job .. id, job.sets)
    local drops = {}
    for field in pairs(job.drops) do drops[#drops + 1] = field end
    if #drops > 0 then redis.call('HDEL', K.job .. id, unpack(drops)) end
  end
  for lane, known in pairs(lanes) do write(K.gateway .. lane, known.sets) end
  for key, number in pairs(numbers) do redis.call('SET', key, text(number)) end
  local minute = tallies.minute
  tallies.minute = nil
  for key, fields in pairs(tallies) do
    for field, by in pairs(fields) do if by ~= 0 then redis.call('HINCRBY', key, field, by) end end
  end
  if minute then
    for key, kept in pairs({ [K.minute .. text(math.floor(NOW / 60000))] = MINUTES_KEPT,
      [K.hour .. text(math.floor(NOW / 3600000))] = HOURS_KEPT }) do
      for field, by in pairs(minute) do redis.call('HINCRBY', key, field, by) end
      redis.call('PEXPIRE', key, kept)
    end
  end
  for key in pairs(wakes) do
    if redis.call('LLEN', key) == 0 then
      redis.call('RPUSH', key, '1')
      redis.call('PEXPIRE', key, 60000)
    end
  end
end

-- Events ----------------------------------------------------------------------------------------------------------------

local function emit(event, failure)
  event.v, event.at_ms = 1, NOW
  local json = cjson.encode(event)
  if failure then json = json:sub(1, -2) .. ',"failure":' .. failure .. '}' end
  redis.call('XADD', K.events, 'MAXLEN', '~', EVENTS, '*', 'event', json)
end

-- Transitions -----------------------------------------------------------------------------------------------------------

local function allowed(from, to) return (NEXT[from] or {})[to] == true end

-- Takes a job to another state. `more`, all optional: at (when due, or until when leased; NOW), reason, failure (JSON),
-- superseded_by, by (who did it).
local function go(job, to, more)
  more = more or {}
  local from, at = job.state, more.at or NOW
  if not allowed(from or 'new', to) then error('unchecked transition from ' .. (from or 'new') .. ' to ' .. to) end
  if from then
    redis.call('ZREM', K.state .. from, job.id)
    tally(K.gateway .. job.lane, 'n:' .. from, -1)
  end
  redis.call('ZADD', K.state .. to, text(at), job.id)
  tally(K.gateway .. job.lane, 'n:' .. to, 1)
  if from == 'blocked' then redis.call('ZREM', K.blocked .. job.lane, job.id) end

  set(job, 'state', to)
  local line = (job.timeline and job.timeline .. ';' or '') .. to .. ' ' .. text(NOW)
  if #line > TIMELINE then line = line:sub(line:find(';', 1, true) + 1) end
  set(job, 'timeline', line)
  if WAITING[to] then set(job, 'next_at', at) else drop(job, 'next_at') end
  if more.failure then set(job, 'failure', more.failure) end
  if ENDED[to] then
    set(job, 'finished_at', NOW)
    if more.reason then set(job, 'reason', more.reason) end
    if more.superseded_by then set(job, 'superseded_by', more.superseded_by) end
    redis.call('ZREM', K[from == 'scheduled' and 'later' or 'subject'] .. job.subject, job.id)
    if job.expires_at then redis.call('ZREM', K.expiry, job.id) end
  end
  if to ~= 'ready' and to ~= 'running' and to ~= 'scheduled' then meter(job, to) end
  emit({ event = 'job', id = job.id, kind = job.kind, gateway = job.lane, subject = job.subject, from = from or cjson.null,
    to = to, run = job.runs, attempts = job.attempts, worker = to == 'running' and job.worker or nil,
    next_at_ms = WAITING[to] and at or nil, reason = more.reason, superseded_by = more.superseded_by, by = more.by },
    more.failure)
end

-- The order of jobs -----------------------------------------------------------------------------------------------------

-- Puts a lane that has something to run at the end of the rotation, of its owner or of everybody.
local function offer_lane(lane)
  local known = gateway(lane)
  -- One that is held comes back by K.held.
  if known.held_until > NOW then return end
  redis.call('ZADD', known.owner == '' and K.lanes or (K.own .. known.owner), 'NX', text(next_of(K.turn)), lane)
  wake(known.owner)
end

-- Offers a subject to its lane if the head of its line can run.
local function offer(lane, subject)
  local id = redis.call('ZRANGE', K.subject .. subject, 0, 0)[1]
  if not id then return end
  local head = read(id)
  if head and head.state == 'ready' then
    redis.call('ZADD', K.lane .. lane, text(head.rank), subject)
    offer_lane(lane)
  else
    redis.call('ZREM', K.lane .. lane, subject)
  end
end

-- A newer job takes the place of an older one that does not run, and what must not get lost of it.
local function supersede(older, newer)
  local inherited = {}
  for letter in ((newer.inherited or '') .. (older.inherited or '') .. (older.flags or '')):gmatch('[frp]') do
    if letter ~= 'p' or older.runs == 0 or (newer.inherited or ''):find('p', 1, true) then inherited[letter] = true end
  end
  local letters = (inherited.f and 'f' or '') .. (inherited.r and 'r' or '') .. (inherited.p and 'p' or '')
  if letters ~= '' then set(newer, 'inherited', letters) end
  if older.rank < newer.rank then set(newer, 'rank', older.rank) end
  go(older, 'superseded', { superseded_by = newer.id })
  newer.replaced = newer.replaced or {}
  table.insert(newer.replaced, older.id)
end

local function replaces(newer, older) return (REPLACES[newer.kind] or {})[older.kind] == true end

-- The newest job of the line that would take the place of this one; nil if none.
local function successor(job)
  local line = redis.call('ZREVRANGE', K.subject .. job.subject, 0, LINE - 1)
  for _, id in ipairs(line) do
    local other = id ~= job.id and read(id)
    if other and other.seq > job.seq and replaces(other, job) then return other end
  end
end

-- A job is due for the first time: it joins the line of its subject, and settles what becomes of older ones there.
local function arrive(job)
  for _, id in ipairs(redis.call('ZRANGE', K.subject .. job.subject, 0, LINE - 1)) do
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
  redis.call('ZADD', K.subject .. job.subject, text(job.seq), job.id)
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
    go(job, to, more)
  end
end

-- Frees the place of a job that runs no more in its lane, and offers what can run now.
local function leave(job)
  local known = gateway(job.lane)
  drop(job, 'worker')
  drop(job, 'lane_failures')
  note_gateway(job.lane, 'busy', math.max(known.busy - 1, 0))
  if known.busy == 0 and known.owner ~= '' then
    redis.call('ZREM', K.own .. known.owner, job.lane)
    note_gateway(job.lane, 'owner', '')
  end
  offer(job.lane, job.subject)
  -- Others may have waited for the place.
  if redis.call('EXISTS', K.lane .. job.lane) == 1 then offer_lane(job.lane) end
end

-- The gateway is left alone for a while.
local function hold(lane, ms)
  note_gateway(lane, 'held_until', math.max(gateway(lane).held_until, NOW + ms))
  redis.call('ZADD', K.held, text(gateway(lane).held_until), lane)
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

local layout = redis.call('GET', K.layout)
if layout and layout ~= LAYOUT then
  return redis.error_reply('LAYOUT the queue is of layout ' .. layout .. ', this program knows ' .. LAYOUT)
end
local function main()
-- Stores jobs, all or none. Python and other producers run this script too: docs/protocol.md.
-- KEYS  1 the queue's prefix
-- ARGV  1 wire version, then per job: id, envelope version, kind, lane, subject, max attempts, delay in ms, priority,
--       ms until it expires or 0, idempotency key or empty, its life in ms, flags, payload
-- Returns per job {id, state or empty if it has ended and been removed, ids of the jobs it replaced}. A job whose id or
--   idempotency key is there already is left as it is.
-- Cost  about 15 commands per job, more where it replaces others; the caller sends 500 jobs at most.

local WIRE, VALUES, MAX_PAYLOAD = '1', 13, 1024 * 1024
local function wrong(what) return redis.error_reply('PROTOCOL ' .. what) end
if ARGV[1] ~= WIRE then return wrong('wire version 1 is spoken here, not ' .. tostring(ARGV[1])) end
if (#ARGV - 1) % VALUES ~= 0 then return wrong('each job takes ' .. VALUES .. ' values') end
for i = 2, #ARGV, VALUES do
  local name = 'job ' .. ((i - 2) / VALUES + 1) .. ': '
  if not ARGV[i]:match('^%x+%-%x+%-%x+%-%x+%-%x+$') or #ARGV[i] ~= 36 then return wrong(name .. 'the id is no UUID') end
  for _, place in ipairs({ 5, 6, 7, 8, 10 }) do
    if not ARGV[i + place]:match('^%d+$') or #ARGV[i + place] > 13 then
      return wrong(name .. 'value ' .. (place + 1) .. ' is no whole number')
    end
  end
  if #ARGV[i + 4] > 200 or #ARGV[i + 3] > 100 or #ARGV[i + 2] > 100 or #ARGV[i + 1] > 20 or #ARGV[i + 11] > 20 then
    return wrong(name .. 'version, kind, lane, subject or flags are too long')
  end
  if #ARGV[i + 7] > 1 then return wrong(name .. 'the priority is not 0 to 9') end
  if #ARGV[i + 9] > 200 then return wrong(name .. 'the idempotency key is longer than 200 bytes') end
  if ARGV[i + 9] ~= '' and tonumber(ARGV[i + 10]) < 1 then return wrong(name .. 'the idempotency key has no life') end
  if #ARGV[i + 12] > MAX_PAYLOAD then return wrong(name .. 'the payload is larger than ' .. MAX_PAYLOAD .. ' bytes') end
end

local function store(i)
  local function arg(n) return ARGV[i + n] end
  local job = { id = arg(0), sets = {}, drops = {}, kind = arg(2), lane = arg(3), subject = arg(4), attempts = 0, runs = 0,
    lost = 0 }
  jobs[job.id] = job
  local delay, expiry, seq = tonumber(arg(6)), tonumber(arg(8)), next_of(K.seq)
  for _, field in ipairs({ 'kind', 'lane', 'subject', 'attempts', 'runs' }) do job.sets[field] = job[field] end
  set(job, 'version', arg(1))
  set(job, 'seq', seq)
  set(job, 'rank', tonumber(arg(7)) * RANKS + seq)
  set(job, 'max_attempts', arg(5))
  set(job, 'priority', arg(7))
  set(job, 'enqueued_at', NOW)
  set(job, 'payload', arg(12))
  if arg(11) ~= '' then set(job, 'flags', arg(11)) end
  if arg(9) ~= '' then set(job, 'idempotency_key', arg(9)) end
  redis.call('SET', K.latest .. job.subject, text(seq), 'PX', REMEMBERED)
  redis.call('ZADD', K.gateways, text(NOW), job.lane)
  if expiry > 0 then
    set(job, 'expires_at', NOW + expiry)
    redis.call('ZADD', K.expiry, text(NOW + expiry), job.id)
  end
  meter(job, 'enqueued')
  if delay > 0 then
    go(job, 'scheduled', { at = NOW + delay })
    redis.call('ZADD', K.later .. job.subject, text(seq), job.id)
    -- Idle workers have to look again, to know when this one is due.
    wake('')
  else
    go(job, 'ready')
    arrive(job)
  end
end

redis.call('SET', K.layout, LAYOUT, 'NX')
local ids = {}
for i = 2, #ARGV, VALUES do
  local id, key, fresh = ARGV[i], ARGV[i + 9], true
  if key ~= '' then
    fresh = redis.call('SET', K.idem .. key, id, 'NX', 'PX', ARGV[i + 10])
    if not fresh then id = redis.call('GET', K.idem .. key) or id end
  end
  ids[#ids + 1] = id
  if fresh and not read(id) then store(i) end
end
local answer = {}
for i, id in ipairs(ids) do
  local job = read(id)
  answer[i] = { id, job and job.state or '', job and job.replaced or {} }
end
return answer

end
local ok, answer = pcall(main)
flush()
if ok or type(answer) == 'table' then return answer end
-- The server's own errors begin with a code in capitals.
local why = tostring(answer):gsub('^%-', '')
return redis.error_reply(why:match('^%u+ ') and why or 'ERR ' .. why)
