-- The functions that all scripts share. The generated tables come before it: K (keys, which
-- `name_keys` sets), NEXT, RETRYABLE, WAITING, ENDED (states), KINDS, REPLACES, MERGES (kinds), and
-- `now` (Redis's clock in ms). KEYS and ARGV are those of the call.
--
-- A function library keeps these definitions between calls, so nothing of a call may stand in them:
-- `begin` in run.lua makes everything anew that belongs to a call.
--
-- A script checks before it writes, because Redis does not undo what a failing script has done.
-- Jobs, lanes and numbers are read once, changed in memory and written by `flush`, which runs at
-- the end of every script, even a failing one. Heads of jobs and records are binary. Lanes, and the
-- fields of a job that its head does not have, are MessagePack maps, because a whole map costs Redis
-- less than a few fields of a hash. Fields without a value are left out of them, as are the numbers
-- of a lane that are 0.

local call = redis.call
-- The time of the call in ms, also as text.
local NOW, NOW_TEXT
local LAYOUT, LINE, MINUTES_KEPT = '3', 100, 25 * 3600000
local RANKS = 2 ^ 48

-- Whether the call only looks for wounds.
local looks_only

-- Calls a command on a key of one gateway or agent. If somebody has put something of another type
-- there, only that one suffers: it is moved out of the way with all that it holds, or, by a call that
-- must not change anything, the answer is nil.
local function attempt(command, key, ...)
  local answer = redis.pcall(command, key, ...)
  if type(answer) ~= 'table' or not answer.err then return answer end
  if not answer.err:find('^%-?WRONGTYPE') then error(answer, 0) end
  local aside = K.wrong .. NOW_TEXT .. ':' .. key:sub(#queue + 2)
  if looks_only or redis.pcall('RENAMENX', key, aside) ~= 1 then return nil end
  return attempt(command, key, ...)
end

-- A MessagePack map; nil if it is none.
local function unpack_map(packed)
  local ok, map = pcall(cmsgpack.unpack, packed or '')
  return ok and type(map) == 'table' and map or nil
end

-- Redis writes whole numbers below 2^53 as such; where Lua makes text of them itself it needs help.
-- Making it is slow, and most of a call are the same few.
local texts
local function text(number)
  local known = texts[number]
  if not known then
    known = string.format('%.0f', number)
    texts[number] = known
  end
  return known
end

-- Jobs --------------------------------------------------------------------------------------------

-- A job's head: its numbers at fixed places, then its subject, `|`, and the worker of its latest run
-- if there was one. The subject begins with the lane. See docs/protocol.md.
local FIXED, NOTED = 41, 4
-- By id: jobs as they are now (false if there is none), the states that Redis lists them in, those
-- that have other fields there, those that have to be written, their new reports with runs, and new
-- places in the lists of states. By lane: new documents.
local jobs, listed, had_more, unsaved, outs, documents, moved

-- Whether a job that takes this step needs no timeline of its own, because its head tells the times:
-- it became ready when it was enqueued, and its first run has not failed.
local function stays_plain(job, from, to)
  if job.timeline then return false end
  if to == 'ready' then return not from end
  return job.runs == 1
    and (from == 'ready' and to == 'running' or from == 'running' and to == 'done')
end

-- The timeline of such a job.
local function plain_timeline(job)
  local line = 'ready ' .. text(job.enqueued_at)
  if job.state ~= 'ready' and job.started_at then
    line = line .. ';running ' .. text(job.started_at)
  end
  return job.state == 'done' and line .. ';done ' .. text(job.since) or line
end

local encode, read_all
do
  local HEAD = '<I6BBHHI6I6BBBHI6I6'
  -- Flags of a head: the job is in a line of several; it has more fields than its head has; it has
  -- more fields, but none that matters to a run. Above them the version of its envelope, if that is
  -- not 1.
  local LINED, MORE, VERSION = 1, 2, 16
  local IN_HEAD, NOTES =
    {
      id = true,
      kind = true,
      lane = true,
      subject = true,
      state = true,
      token = true,
      attempts = true,
      runs = true,
      since = true,
      started_at = true,
      priority = true,
      max_attempts = true,
      seq = true,
      enqueued_at = true,
      worker = true,
      lined = true,
    }, { before = true, idempotency_key = true }

  -- Reads a job from its head and its other fields. One that cannot be read counts as absent.
  local function decode(id, head, more)
    if not head or #head <= FIXED then return false end
    local token, state, flags, attempts, runs, since, started, kind, priority, lane, max, seq, at =
      struct.unpack(HEAD, head)
    local bar = head:find('|', FIXED + 1, true)
    local job = {
      id = id,
      state = STATES[state],
      kind = KINDS[kind],
      lane = head:sub(FIXED + 1, FIXED + lane),
      subject = head:sub(FIXED + 1, (bar or 0) - 1),
      worker = bar and head:sub(bar + 1) or nil,
      token = token > 0 and token or nil,
      attempts = attempts,
      runs = runs,
      since = since,
      started_at = started > 0 and started or nil,
      enqueued_at = at,
      priority = priority,
      max_attempts = max,
      seq = seq,
      lined = flags % 2 == LINED or nil,
      version = flags >= VERSION and text(math.floor(flags / VERSION)) or nil,
    }
    -- Without its other fields it can still run.
    for name, value in pairs(more and unpack_map(more) or {}) do
      job[name] = value
    end
    return job.state and job.kind and job or false
  end

  -- A job as Redis keeps it: its head, and its other fields if it has any.
  function encode(job)
    local flags, more = job.lined and LINED or 0, nil
    local version = string.match(job.version or '', '^%d$')
    for name, value in pairs(job) do
      if not IN_HEAD[name] and not (version and name == 'version') then
        more = more or {}
        more[name] = value
        if not NOTES[name] then flags = flags + (flags % NOTED < MORE and MORE or 0) end
      end
    end
    local kind = KINDS[job.kind]
    if not kind then
      more = more or {}
      more.kind, flags = job.kind, flags + (flags % NOTED < MORE and MORE or 0)
    end
    if more and flags < MORE then flags = flags + NOTED end
    if version then flags = flags + version * VERSION end
    local head = struct.pack(
      HEAD,
      job.token or 0,
      STATE_CODES[job.state],
      flags,
      job.attempts,
      math.min(job.runs, 65535),
      job.since,
      job.started_at or 0,
      kind or 0,
      job.priority,
      #job.lane,
      math.min(job.max_attempts, 65535),
      job.seq,
      job.enqueued_at
    )
    return head .. job.subject .. (job.worker and '|' .. job.worker or ''),
      more and cmsgpack.pack(more)
  end

  -- Reads several jobs at once, those that were not read yet.
  function read_all(ids)
    local unread = {}
    for _, id in ipairs(ids) do
      if jobs[id] == nil then
        unread[#unread + 1], jobs[id] = id, false
      end
    end
    if #unread == 0 then return end
    local heads, with_more = call('HMGET', K.job, unpack(unread)), {}
    for i, id in ipairs(unread) do
      if heads[i] and #heads[i] > FIXED and heads[i]:byte(8) % VERSION >= MORE then
        with_more[#with_more + 1] = id
      end
    end
    local more = {}
    if #with_more > 0 then
      for i, fields in ipairs(call('HMGET', K.more, unpack(with_more))) do
        more[with_more[i]] = fields
      end
    end
    for i, id in ipairs(unread) do
      local job = decode(id, heads[i], more[id])
      jobs[id], listed[id], had_more[id] = job, job and job.state or nil, more[id] ~= nil
    end
  end
end

-- A job's fields by name, as docs/protocol.md has them; false if it is not there.
local function read(id)
  if jobs[id] == nil then read_all({ id }) end
  return jobs[id]
end

-- Has a job written that was changed in another way than by `go`.
local function save(job) unsaved[job.id] = true end

-- A job's document; false if it is not there.
local function document_of(job) return attempt('HGET', K.document .. job.lane, job.id) or false end

-- The report and the latest runs of a job, each JSON: the report, or nothing, in the first line, and
-- a run in each of the others.
local function out_of(id) return outs[id] or call('HGET', K.out, id) or '\n' end

-- Lanes -------------------------------------------------------------------------------------------

-- What the queue knows of gateways, for those that were asked for; and records that were read but
-- not looked at yet.
local lanes, packed_lanes

-- What the queue knows of a gateway, and by state how many jobs it has; see keys.rs. What is
-- changed of it is written.
local function gateway(lane)
  local known = lanes[lane]
  if known then return known end
  local packed = packed_lanes[lane]
  if packed == nil then packed = call('HGET', K.gateway, lane) end
  known = packed and unpack_map(packed) or {}
  lanes[lane] = known
  return known
end

-- Sets a field of a job or lane to something or nil. Lua makes room even for a nil where nothing
-- was.
local function put(map, name, value)
  if value ~= nil or map[name] ~= nil then map[name] = value end
end

-- A lane's number after one has gone.
local function less(number) return number and number > 1 and number - 1 or nil end

-- Reads several lanes at once, those that were not read yet. One may be named more than once.
local function read_lanes(some)
  local unread = {}
  for _, lane in ipairs(some) do
    if not lanes[lane] and packed_lanes[lane] == nil then
      unread[#unread + 1], packed_lanes[lane] = lane, false
    end
  end
  if #unread == 0 then return end
  local packed = call('HMGET', K.gateway, unpack(unread))
  for i, lane in ipairs(unread) do
    packed_lanes[lane] = packed[i]
  end
end

-- A record's fields and values, flat, as those who read them want them.
local function shown(map)
  local flat = {}
  for name, value in pairs(map) do
    if value ~= true then
      flat[#flat + 1], flat[#flat + 2] = name, type(value) == 'number' and text(value) or value
    end
  end
  return flat
end

-- The same of a job, with its report, and with its document if that is given.
local function shown_job(job, document)
  local flat = shown(job)
  local function show(name, value)
    if value then
      flat[#flat + 1], flat[#flat + 2] = name, value
    end
  end
  if not job.timeline then show('timeline', plain_timeline(job)) end
  if ENDED[job.state] then show('finished_at', text(job.since)) end
  show('report', out_of(job.id):match('^[^\n]+'))
  show('payload', document)
  return flat
end

-- Failures ----------------------------------------------------------------------------------------

-- By key: what is known of groups of failures, and the groups that jobs have left.
local groups, left_groups

-- A job failed: it belongs to the group of its gateway, its failure's code and, if that is known,
-- the method, until it is done, replaced or cancelled, or fails in another way.
local function join_group(job)
  local ok, failure = pcall(cjson.decode, job.failure)
  if not ok or type(failure) ~= 'table' then failure = {} end
  local function said(name) return type(failure[name]) == 'string' and failure[name] or nil end
  local function word(name) return (said(name) or ''):gsub('[^%w_%-%./]', '_'):sub(1, 60) end
  local key = job.lane .. '|' .. word('code') .. '|' .. word('method')
  if job.group ~= key then
    if job.group then
      attempt('ZREM', K.group .. job.group, job.id)
      left_groups[job.group] = true
    end
    job.group = key
  end
  if groups[key] == nil then
    local packed = call('HGET', K.failures, key)
    groups[key] = packed and unpack_map(packed) or { first_at = NOW }
  end
  local group = groups[key]
  group.message, group.action, group.last_at, group.sample =
    said('message'), said('action'), NOW, job.id
  group.remedy = type(failure.remedy) == 'table' and cjson.encode(failure.remedy) or nil
  attempt('ZADD', K.group .. key, NOW, job.id)
end

-- It has got past its failure, or ended for another reason.
local function leave_group(job)
  attempt('ZREM', K.group .. job.group, job.id)
  left_groups[job.group], job.group = true, nil
end

local function write_groups()
  for key in pairs(left_groups) do
    if call('EXISTS', K.group .. key) == 0 then
      call('HDEL', K.failures, key)
      call('ZREM', K.groups, key)
      groups[key] = nil
    end
  end
  for key, group in pairs(groups) do
    call('HSET', K.failures, key, cmsgpack.pack(group))
    call('ZADD', K.groups, group.last_at, key)
  end
end

-- Numbers -----------------------------------------------------------------------------------------

-- The layout of the keys, if there are any; counters as Redis has them, and those that have changed.
local layout, numbers, counted, metered

-- Creates the queue. There is nothing to add up of minutes before. If there are jobs, only the layout
-- was lost, and counters go on.
local function create()
  local last = math.floor(NOW / 60000) - 1
  layout = LAYOUT
  call('MSET', K.layout, LAYOUT, K.rolled, last)
  if call('EXISTS', K.job) == 0 then
    call('MSET', K.seq, 0, K.turn, 0, K.token, 0)
    numbers = { [K.seq] = '0', [K.turn] = '0', [K.token] = '0' }
  end
end

-- The next number of a counter. If somebody has spoilt it, it goes on with the time, which is more
-- than any count that was given.
local function next_of(key)
  local last = counted[key] or tonumber(numbers[key] or '') or layout and NOW or 0
  counted[key] = last + 1
  return counted[key]
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

-- Counts a time in a histogram: bucket n holds times from 2^(n-1) ms to less than 2^n ms, bucket 0
-- those below 1 ms.
local function meter_time(job, what, ms)
  local _, power = math.frexp(ms)
  meter(job, what .. math.max(0, math.min(power, 31)))
end

-- Wakes -------------------------------------------------------------------------------------------

local wakes, MYSELF

-- Wakes any idle worker, or that one. A token is enough: who takes it looks at everything.
local function wake(worker)
  if worker and worker == MYSELF then return end
  wakes[worker and K.wake .. ':' .. worker or K.wake] = true
end
