-- The functions that all scripts share. The generated tables come before it: K (keys, which
-- `name_keys` sets), NEXT, RETRYABLE, WAITING, ENDED (states), KINDS, REPLACES, MERGES (kinds), and
-- `now` (Redis's clock in ms). KEYS and ARGV are those of the call.
--
-- A function library keeps these definitions between calls, so nothing of a call may stand in them:
-- `begin` in run.lua makes everything anew that belongs to a call.
--
-- A script checks before it writes, because Redis does not undo what a failing script has done.
-- Jobs, lanes and numbers are read once, changed in memory and written by `flush`, which runs at
-- the end of every script, even a failing one. Jobs and lanes are stored as MessagePack maps,
-- because a whole map costs Redis less than a few fields of a hash. Fields without a value are left
-- out of them, as are the numbers of a lane that are 0.

local call = redis.call
-- The time of the call in ms, also as text.
local NOW, NOW_TEXT
-- LAYOUT stands in the Python client's get.lua as well.
local LAYOUT, HISTORY, LINE, TIMELINE = '2', 20, 100, 1200
local EVENTS, MINUTES_KEPT, REMEMBERED = 100000, 25 * 3600000, 30 * 86400000
local AUDITED, RESTARTS, RESTART_KEPT = 10000, 1000, 8 * 86400000
local RANKS = 2 ^ 48

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

-- By id: jobs as they are now, their documents if they were read, the states that Redis lists them
-- in, what has to be written of them (fields and values, of which `job` and its value are the
-- first), and new places in the lists of states.
local jobs, payloads, listed, unsaved, moved

-- A job's fields by name, as docs/protocol.md has them; nil if it is not there.
local function read(id, with_payload)
  local job = jobs[id]
  if job then return job end
  local packed
  if with_payload then
    packed, payloads[id] = unpack(call('HMGET', K.job .. id, 'job', 'payload'))
  else
    packed = call('HGET', K.job .. id, 'job')
  end
  if not packed then return nil end
  job = cmsgpack.unpack(packed)
  jobs[id], listed[id] = job, job.state
  return job
end

-- Has a job written that was changed in another way than by `go`, or with another field of its hash
-- besides.
local function save(job, field, value)
  local fields = unsaved[job.id]
  if not fields then
    fields = { 'job', false }
    unsaved[job.id] = fields
  end
  if field then
    fields[#fields + 1], fields[#fields + 2] = field, value
  end
end

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
  known = packed and cmsgpack.unpack(packed) or {}
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

-- A job's or a gateway's fields and values, flat, as those who read them want them.
local function shown(map)
  local flat = {}
  for name, value in pairs(map) do
    flat[#flat + 1], flat[#flat + 2] = name, type(value) == 'number' and text(value) or value
  end
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
      call('ZREM', K.group .. job.group, job.id)
      left_groups[job.group] = true
    end
    job.group = key
  end
  if groups[key] == nil then
    local packed = call('HGET', K.failures, key)
    groups[key] = packed and cmsgpack.unpack(packed) or { first_at = NOW }
  end
  local group = groups[key]
  group.message, group.action, group.last_at, group.sample =
    said('message'), said('action'), NOW, job.id
  group.remedy = type(failure.remedy) == 'table' and cjson.encode(failure.remedy) or nil
  call('ZADD', K.group .. key, NOW, job.id)
end

-- It has got past its failure, or ended for another reason.
local function leave_group(job)
  call('ZREM', K.group .. job.group, job.id)
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

local numbers, metered

-- The next number of a counter.
local function next_of(key)
  numbers[key] = (numbers[key] or tonumber(call('GET', key) or 0)) + 1
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

-- Counts a time in a histogram: bucket n holds times from 2^(n-1) ms to less than 2^n ms, bucket 0
-- those below 1 ms.
local function meter_time(job, what, ms)
  local _, power = math.frexp(ms)
  meter(job, what .. text(math.max(0, math.min(power, 31))))
end

-- Wakes -------------------------------------------------------------------------------------------

local wakes, MYSELF

-- Wakes any idle worker, or that one. A token is enough: who takes it looks at everything.
local function wake(worker)
  if worker and worker == MYSELF then return end
  wakes[worker and K.wake .. ':' .. worker or K.wake] = true
end

-- Rotations ---------------------------------------------------------------------------------------

-- By rotation: lanes that leave it, how many at its head do, and lanes that come to it, with their
-- turns. Turns count down, because Redis adds at the front of a short sorted set, not at its end,
-- without going through it.
local left, served, offered

local function leave_rotation(key, lane)
  left[key] = left[key] or {}
  left[key][lane] = true
  if offered[key] then offered[key][lane] = nil end
end

local function join_rotation(key, lane)
  offered[key] = offered[key] or {}
  offered[key][lane] = offered[key][lane] or -next_of(K.turn)
end

-- The end of every script -------------------------------------------------------------------------

-- Calls a command with a list of any length: Lua passes some thousand values at most.
local PART = 1000
local function in_parts(command, key, list)
  for first = 1, #list, PART do
    call(command, key, unpack(list, first, math.min(first + PART - 1, #list)))
  end
end

-- Records -----------------------------------------------------------------------------------------

-- By subject and lane: the records of agents and of connections that were read (false if there is
-- none), and those that have changed.
local agents, connections, changed_agents, changed_connections

-- The fields of records that are numbers. All others are texts.
local COUNTS = { seq = true, generation = true, observed = true, revision = true }

-- Reads a record. One that somebody has spoilt counts as absent, so that it stops no other job.
local function unpacked(packed)
  local ok, record = pcall(cmsgpack.unpack, packed or '')
  if not ok or type(record) ~= 'table' or not record.seq then return false end
  for name, value in pairs(record) do
    if type(value) ~= (COUNTS[name] and 'number' or 'string') then return false end
  end
  return record
end

local function agent_record(subject)
  if agents[subject] == nil then agents[subject] = unpacked(call('HGET', K.agents, subject)) end
  return agents[subject]
end

local function save_agent(subject, record)
  agents[subject], changed_agents[subject] = record, true
end

local function connection(lane)
  if connections[lane] == nil then
    connections[lane] = unpacked(call('HGET', K.connections, lane))
  end
  return connections[lane]
end

local function save_connection(lane, record)
  connections[lane], changed_connections[lane] = record, true
end

-- Writes the changed ones of some records into their hash.
local function write_changed(key, records, changed)
  local list = {}
  for name in pairs(changed) do
    list[#list + 1], list[#list + 2] = name, cmsgpack.pack(records[name])
  end
  in_parts('HSET', key, list)
end

-- To be called before anything reads records in another way.
local function write_records()
  write_changed(K.agents, agents, changed_agents)
  write_changed(K.connections, connections, changed_connections)
  changed_agents, changed_connections = {}, {}
end

-- Lists jobs by their new states. To be called before anything reads those lists.
local function write_states()
  local gone, come = {}, {}
  for id, at in pairs(moved) do
    local from, to = listed[id], jobs[id].state
    if from and from ~= to then
      local ids = gone[from] or {}
      ids[#ids + 1], gone[from] = id, ids
    end
    local list = come[to] or {}
    list[#list + 1], list[#list + 2], come[to] = at, id, list
    listed[id] = to
  end
  moved = {}
  for state, ids in pairs(gone) do
    in_parts('ZREM', K.state .. state, ids)
  end
  for state, list in pairs(come) do
    in_parts('ZADD', K.state .. state, list)
  end
end

-- Puts lanes into rotations and takes them out. To be called before anything reads those.
local function write_rotations()
  for key, set in pairs(left) do
    local names = {}
    for lane in pairs(set) do
      names[#names + 1] = lane
    end
    call('ZREM', key, unpack(names))
  end
  for key, count in pairs(served) do
    call('ZREMRANGEBYRANK', key, -count, -1)
  end
  for key, set in pairs(offered) do
    local list = {}
    for lane, turn in pairs(set) do
      list[#list + 1], list[#list + 2] = turn, lane
    end
    if #list > 0 then call('ZADD', key, 'NX', unpack(list)) end
  end
  left, served, offered = {}, {}, {}
end

local function write_jobs()
  for id, fields in pairs(unsaved) do
    fields[2] = cmsgpack.pack(jobs[id])
    call('HSET', K.job .. id, unpack(fields))
  end
end

local function write_lanes()
  local list = {}
  for lane, known in pairs(lanes) do
    list[#list + 1], list[#list + 2] = lane, cmsgpack.pack(known)
  end
  if #list > 0 then call('HSET', K.gateway, unpack(list)) end
end

local function write_meters()
  if not next(metered) then return end
  local key = K.minute .. math.floor(NOW / 60000)
  for kind, happened in pairs(metered) do
    for what, times in pairs(happened) do
      call('HINCRBY', key, kind .. '|' .. what, times)
    end
  end
  call('PEXPIRE', key, MINUTES_KEPT)
end

local emitted

local function flush()
  write_states()
  write_rotations()
  write_groups()
  write_records()
  write_jobs()
  write_lanes()
  write_meters()
  if emitted then call('XTRIM', K.events, 'MAXLEN', '~', EVENTS) end
  for key, number in pairs(numbers) do
    call('SET', key, number)
  end
  for key in pairs(wakes) do
    if call('LLEN', key) == 0 then
      call('RPUSH', key, '1')
      call('PEXPIRE', key, 60000)
    end
  end
end
