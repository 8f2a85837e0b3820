#!lua flags=allow-oom
-- Bundled from crates/jobs/src/queue/redis/lua and generated tables. Do not edit.
local K, queue
local named = {}
local function name_keys(prefix)
  if queue == prefix then return end
  queue, K = prefix, named[prefix]
  if K then return end
  K = {
    job = prefix .. ':job',
    more = prefix .. ':more',
    out = prefix .. ':out',
    document = prefix .. ':document:',
    state = prefix .. ':state:',
    layout = prefix .. ':layout',
    seq = prefix .. ':seq',
    turn = prefix .. ':turn',
    token = prefix .. ':token',
    line = prefix .. ':line',
    subject = prefix .. ':subject:',
    later = prefix .. ':later:',
    lane = prefix .. ':lane:',
    gateway = prefix .. ':gateway',
    gateways = prefix .. ':gateways',
    lanes = prefix .. ':lanes',
    own = prefix .. ':own:',
    held = prefix .. ':held',
    blocked = prefix .. ':blocked:',
    reconnected = prefix .. ':reconnected',
    agents = prefix .. ':agents',
    deleted = prefix .. ':deleted',
    listed = prefix .. ':agents:',
    connections = prefix .. ':connections',
    heartbeats = prefix .. ':heartbeats:',
    applied = prefix .. ':applied',
    group = prefix .. ':group:',
    groups = prefix .. ':groups',
    failures = prefix .. ':failures',
    expiry = prefix .. ':expiry',
    suspects = prefix .. ':suspects',
    wake = prefix .. ':wake',
    wrong = prefix .. ':wrong:',
    events = prefix .. ':events',
    audit = prefix .. ':audit',
    minute = prefix .. ':minute:',
  }
  named[prefix] = K
end
local STATES = { 'scheduled', 'ready', 'running', 'retrying', 'snoozed', 'blocked', 'done', 'dead', 'superseded', 'cancelled', }
local STATE_CODES = { scheduled = 1, ready = 2, running = 3, retrying = 4, snoozed = 5, blocked = 6, done = 7, dead = 8, superseded = 9, cancelled = 10, }
local NEXT = {
  new = { scheduled = true, ready = true, superseded = true, },
  scheduled = { ready = true, dead = true, superseded = true, cancelled = true, },
  ready = { running = true, snoozed = true, dead = true, superseded = true, cancelled = true, },
  running = { done = true, dead = true, retrying = true, snoozed = true, blocked = true, ready = true, superseded = true, cancelled = true, },
  retrying = { ready = true, snoozed = true, dead = true, superseded = true, cancelled = true, },
  snoozed = { ready = true, snoozed = true, dead = true, superseded = true, cancelled = true, },
  blocked = { ready = true, snoozed = true, dead = true, superseded = true, cancelled = true, },
  done = { },
  dead = { ready = true, cancelled = true, },
  superseded = { },
  cancelled = { },
}
local FAILING = { retrying = true, snoozed = true, blocked = true, dead = true, }
local WAITING = { scheduled = true, retrying = true, snoozed = true, blocked = true, }
local ENDED = { done = true, dead = true, superseded = true, cancelled = true, }
local KINDS = { 'provision', ['provision'] = 1, 'provision-main', ['provision-main'] = 2, 'cleanup', ['cleanup'] = 3, 'heartbeat-sync', ['heartbeat-sync'] = 4, }
local MERGES = { ['heartbeat-sync'] = true, }
local function now()
  local clock = redis.call('TIME')
  return clock[1] * 1000 + math.floor(clock[2] / 1000)
end
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

-- Wakes -------------------------------------------------------------------------------------------

local wakes, MYSELF

-- Wakes any idle worker, or that one. A token is enough: who takes it looks at everything.
local function wake(worker)
  if worker and worker == MYSELF then return end
  wakes[worker and K.wake .. ':' .. worker or K.wake] = true
end

-- What is kept of records, rotations and other things until the end of a call, and how it is written.
-- Comes after prelude.lua.

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
local function in_parts(command, key, list, by)
  for first = 1, #list, PART do
    (by or call)(command, key, unpack(list, first, math.min(first + PART - 1, #list)))
  end
end

-- Records -----------------------------------------------------------------------------------------

-- By subject and lane: the records of agents and of connections as Redis has them, those that were
-- looked at (false if there is none), and those that have changed.
local packed_agents, agents, changed_agents
local packed_connections, connections, changed_connections

-- An agent's record: its seq, generation and observed, the number of its phase, the seq to which it
-- returns if its cleanup is cancelled, then its parts: a letter and the id of a job for each.
local AGENT, PARTS_FROM = '<I6I8I6BI6', 28

local read_agents, agent_record, save_agent, read_connections, connection, save_connection
local write_records
do
  local PART_LENGTH, PHASES, GONE = 37, { 'deleting', 'deleted', 'deleting' }, 3
  local PHASE_CODES = { deleting = 1, deleted = 2 }
  -- The parts by their letters, in the order in which a record has them. The last four are what a run
  -- still has to do once, by the letter of the part that asks for it; see docs/protocol.md.
  local PARTS = { j = 'job', d = 'desired', t = 'token', f = 'f', p = 'p', r = 'r', w = 'w' }
  local PARTS_IN_ORDER = { 'j', 'd', 't', 'f', 'p', 'r', 'w' }

  -- Reads a record. One that somebody has spoilt counts as absent, so that it stops no other job.
  local function unpack_agent(packed)
    if not packed or #packed < PARTS_FROM - 1 then return false end
    local seq, generation, observed, phase, since = struct.unpack(AGENT, packed)
    if phase > GONE then return false end
    local record = {
      seq = seq,
      generation = generation > 0 and generation - 1 or nil,
      observed = observed > 0 and observed or nil,
      phase = PHASES[phase],
      gone = phase == GONE or nil,
      since = since > 0 and since - 1 or nil,
    }
    for at = PARTS_FROM, #packed, PART_LENGTH do
      local part, id = PARTS[packed:sub(at, at)], packed:sub(at + 1, at + PART_LENGTH - 1)
      if not part or #id ~= PART_LENGTH - 1 then return false end
      record[part] = id
    end
    return record
  end

  local function pack_agent(record)
    local parts = {}
    for _, letter in ipairs(PARTS_IN_ORDER) do
      local id = record[PARTS[letter]]
      if id then parts[#parts + 1] = letter .. id end
    end
    return struct.pack(
      AGENT,
      record.seq,
      record.generation and record.generation + 1 or 0,
      record.observed or 0,
      record.gone and GONE or PHASE_CODES[record.phase] or 0,
      record.since and record.since + 1 or 0
    ) .. table.concat(parts)
  end

  -- The record of a connection: its seq, revision and time, the time when it became another one, the
  -- job whose document has it, its fingerprint, `|`, and the subject of that job.
  local CONNECTION, DOCUMENT_FROM = '<I6I8I6I6', 27

  local function unpack_connection(packed)
    if not packed or #packed < DOCUMENT_FROM + 36 then return false end
    local seq, revision, at, changed = struct.unpack(CONNECTION, packed)
    local fingerprint, subject = packed:match('^(%x*)|(.*)$', DOCUMENT_FROM + 36)
    if not subject then return false end
    return {
      seq = seq,
      revision = revision > 0 and revision - 1 or nil,
      at = at,
      changed = changed > 0 and changed or nil,
      document = packed:sub(DOCUMENT_FROM, DOCUMENT_FROM + 35),
      fingerprint = fingerprint ~= '' and fingerprint or nil,
      subject = subject,
    }
  end

  local function pack_connection(record)
    local revision = record.revision and record.revision + 1 or 0
    return struct.pack(CONNECTION, record.seq, revision, record.at, record.changed or 0)
      .. record.document
      .. (record.fingerprint or '')
      .. '|'
      .. record.subject
  end

  -- Reads several records of one kind at once, those that were not read yet.
  local function read_records(key, packed, names)
    local unread = {}
    for _, name in ipairs(names) do
      if packed[name] == nil then
        unread[#unread + 1], packed[name] = name, false
      end
    end
    if #unread == 0 then return end
    for i, record in ipairs(call('HMGET', key, unpack(unread))) do
      packed[unread[i]] = record
    end
  end

  function read_agents(subjects) read_records(K.agents, packed_agents, subjects) end
  function read_connections(some) read_records(K.connections, packed_connections, some) end

  function agent_record(subject)
    if agents[subject] == nil then
      read_agents({ subject })
      agents[subject] = unpack_agent(packed_agents[subject])
    end
    return agents[subject]
  end

  function save_agent(subject, record)
    agents[subject], changed_agents[subject] = record, true
  end

  function connection(lane)
    if connections[lane] == nil then
      read_connections({ lane })
      connections[lane] = unpack_connection(packed_connections[lane])
    end
    return connections[lane]
  end

  function save_connection(lane, record)
    connections[lane], changed_connections[lane] = record, true
  end

  -- To be called before anything reads records in another way.
  function write_records()
    local list = {}
    for subject in pairs(changed_agents) do
      if agents[subject] then packed_agents[subject] = pack_agent(agents[subject]) end
      list[#list + 1], list[#list + 2] = subject, packed_agents[subject]
    end
    in_parts('HSET', K.agents, list)
    list = {}
    for lane in pairs(changed_connections) do
      packed_connections[lane] = pack_connection(connections[lane])
      list[#list + 1], list[#list + 2] = lane, packed_connections[lane]
    end
    in_parts('HSET', K.connections, list)
    changed_agents, changed_connections = {}, {}
  end
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
    list[#list + 1], list[#list + 2], come[to] = text(at), id, list
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
    attempt('ZREM', key, unpack(names))
  end
  for key, count in pairs(served) do
    attempt('ZREMRANGEBYRANK', key, -count, -1)
  end
  for key, set in pairs(offered) do
    local list = {}
    for lane, turn in pairs(set) do
      list[#list + 1], list[#list + 2] = turn, lane
    end
    if #list > 0 then attempt('ZADD', key, 'NX', unpack(list)) end
  end
  left, served, offered = {}, {}, {}
end

local function write_jobs()
  local heads, mores, plain, texts_of_out = {}, {}, {}, {}
  for id in pairs(unsaved) do
    local head, more = encode(jobs[id])
    heads[#heads + 1], heads[#heads + 2] = id, head
    if more then
      mores[#mores + 1], mores[#mores + 2] = id, more
    elseif had_more[id] then
      plain[#plain + 1] = id
    end
  end
  for id, out in pairs(outs) do
    texts_of_out[#texts_of_out + 1], texts_of_out[#texts_of_out + 2] = id, out
  end
  in_parts('HSET', K.job, heads)
  in_parts('HSET', K.more, mores)
  in_parts('HDEL', K.more, plain)
  in_parts('HSET', K.out, texts_of_out)
  for lane, list in pairs(documents) do
    in_parts('HSET', K.document .. lane, list, attempt)
  end
end

local function write_lanes()
  local list = {}
  for lane, known in pairs(lanes) do
    list[#list + 1], list[#list + 2] = lane, cmsgpack.pack(known)
  end
  if #list > 0 then call('HSET', K.gateway, unpack(list)) end
end

-- Adds to a counter. One that is no number begins anew. Returns the new count.
local function add_to(key, field, times)
  local answer = redis.pcall('HINCRBY', key, field, times)
  if type(answer) == 'number' then return answer end
  local known = attempt('HGET', key, field)
  if not known or tonumber(known) then return attempt('HINCRBY', key, field, times) end
  call('HSET', key, field, times)
  return times
end

local function write_meters()
  if not next(metered) then return end
  local key = K.minute .. math.floor(NOW / 60000)
  for kind, happened in pairs(metered) do
    for what, times in pairs(happened) do
      local is_new = add_to(key, kind .. '|' .. what, times) == times
      if is_new then call('PEXPIRE', key, MINUTES_KEPT) end
    end
  end
end

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

-- The lines of subjects: the jobs of one that have been due and have not ended, in their order.
-- Comes after prelude.lua.
--
-- Most lines have one job. It stands in the subject's entry, and stays there when it has ended, so
-- that its end costs nothing. A line of several is a sorted set, and its jobs are marked `lined`.

-- By subject: the entries that were read, and those that have changed. An entry has `seq` (the
-- number of its newest job, or 0), `latest` (the job that was enqueued last, where the chain of
-- `before` begins; empty if that is not known), and `only` (the job of the line, `*` for a sorted
-- set, or empty).
local lines, changed_lines

local function unpack_line(packed)
  local line = { seq = 0, latest = '', only = '' }
  if packed and #packed > 6 then
    line.seq = struct.unpack('<I6', packed)
    line.latest, line.only = packed:match('^([^|]*)|(.*)$', 7)
    if not line.only then
      line.latest, line.only = '', ''
    end
  end
  return line
end

local function line_of(subject)
  local line = lines[subject]
  if not line then
    line = unpack_line(call('HGET', K.line, subject))
    lines[subject] = line
  end
  return line
end

-- The jobs of a line with these places, counted from 0 as Redis does.
local function line_ids(subject, first, last)
  local only = line_of(subject).only
  if only == '*' then return attempt('ZRANGE', K.subject .. subject, first, last) or {} end
  local job = only ~= '' and read(only)
  return job and not ENDED[job.state] and first <= 0 and { only } or {}
end

local function leave_line(subject, id)
  local line = line_of(subject)
  if line.only == '*' then
    attempt('ZREM', K.subject .. subject, id)
    if call('EXISTS', K.subject .. subject) == 0 then line.only = '' end
  elseif line.only == id then
    line.only = ''
  end
  changed_lines[subject] = true
end

-- Forgets the entry of a subject that has no job in its line.
local function forget_line(subject)
  if #line_ids(subject, 0, 0) > 0 then return end
  call('HDEL', K.line, subject)
  lines[subject], changed_lines[subject] = nil, nil
end

local function write_lines()
  local list = {}
  for subject in pairs(changed_lines) do
    local line = lines[subject]
    list[#list + 1] = subject
    list[#list + 1] = struct.pack('<I6', line.seq) .. line.latest .. '|' .. line.only
  end
  in_parts('HSET', K.line, list)
end

-- The parts of an agent's record whose documents a run reads. Of other owed parts only the id counts.
local READ = { 'desired', 'token', 'w' }

local function agent_of(subject) return subject:match('/(.*)$') or '' end

local function is_needed(lane, subject, id)
  local record = agent_record(subject)
  for _, part in ipairs(READ) do
    if record and record[part] == id then return true end
  end
  local known = connection(lane)
  return known and known.document == id
end

-- A record has let go of a document, which is removed if its job is gone and no other record needs
-- it.
local function release_document(lane, subject, id)
  if id and not is_needed(lane, subject, id) and not read(id) then
    attempt('HDEL', K.document .. lane, id)
  end
end

-- The scores of the agents in the list of their gateway, by phase; of those that are wanted 1.
local PLACES = { deleting = 0, deleted = 2 }

-- Changes an agent's record, and lets go of the documents that it does not name any more.
local function replace_agent(lane, subject, record)
  local before = agent_record(subject)
  save_agent(subject, record)
  if not before or before.phase ~= record.phase then
    attempt('ZADD', K.listed .. lane, PLACES[record.phase] or 1, agent_of(subject))
  end
  for _, part in ipairs(READ) do
    if before then release_document(lane, subject, before[part]) end
  end
end

-- Forgets an agent and lets go of its documents.
local function drop_agent(lane, subject)
  local before = agent_record(subject)
  agents[subject], packed_agents[subject], changed_agents[subject] = false, false, nil
  call('HDEL', K.agents, subject)
  attempt('ZREM', K.listed .. lane, agent_of(subject))
  for _, part in ipairs(READ) do
    if before then release_document(lane, subject, before[part]) end
  end
end

-- A copy of a record that can be changed.
local function copy(record)
  local after = {}
  for name, value in pairs(record) do
    after[name] = value
  end
  return after
end

-- Lanes whose gateways have got another connection in this call.
local reconnected

-- A job was cancelled: its cleanup leaves the agent as it is, and what only it asked for once is
-- not owed any more. The agent's newest state and token stay, and so does that the agent is new.
local function withdraw_document(job)
  local record = agent_record(job.subject)
  if not record then return end
  local after = copy(record)
  if job.kind == 'cleanup' then
    if record.job == job.id and record.phase == 'deleting' then
      after.phase = record.gone and 'deleted' or nil
      after.seq, after.since, after.gone = record.since or record.seq, nil, nil
      if after.phase then call('ZADD', K.deleted, NOW, job.subject) end
    end
  else
    for _, letter in ipairs({ 'f', 'r', 'w' }) do
      if record[letter] == job.id then after[letter] = nil end
    end
  end
  replace_agent(job.lane, job.subject, after)
end

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

-- How many more jobs of lines that merge a call looks at.
local to_look_at

-- The plain jobs of this call, which all go from one state to another: their ids, what their event
-- says of each, and flat their new heads and their places in the list of the new state.
local plain

local function write_plain()
  if #plain.ids == 0 then return end
  told[#told + 1] = plain
  in_parts('ZREM', K.state .. plain.from, plain.ids)
  in_parts('ZADD', K.state .. plain.to, plain.places)
  in_parts('HSET', K.job, plain.heads)
end

-- How every script begins and ends. Comes after plain.lua.

-- A key of another type keeps only what belongs there from being written. Returns the first error.
local function flush()
  local failed
  local function try(write)
    local ok, why = pcall(write)
    if not ok then failed = failed or why end
  end
  if plain then try(write_plain) end
  try(write_states)
  try(write_rotations)
  try(write_groups)
  try(write_records)
  try(write_jobs)
  try(write_lines)
  try(write_lanes)
  try(write_meters)
  try(write_events)
  local list = {}
  for key, number in pairs(counted) do
    list[#list + 1], list[#list + 2] = key, number
  end
  if #list > 0 then call('MSET', unpack(list)) end
  for key in pairs(wakes) do
    if attempt('LLEN', key) == 0 then
      call('RPUSH', key, '1')
      call('PEXPIRE', key, 60000)
    end
  end
  return failed
end

local function begin()
  name_keys(KEYS[1])
  NOW, texts = now(), {}
  NOW_TEXT = text(NOW)
  jobs, listed, had_more, unsaved, outs, documents, moved = {}, {}, {}, {}, {}, {}, {}
  lines, changed_lines = {}, {}
  lanes, packed_lanes, groups, left_groups = {}, {}, {}, {}
  numbers, counted, metered, wakes, MYSELF = {}, {}, {}, {}, nil
  left, served, offered = {}, {}, {}
  packed_agents, agents, changed_agents = {}, {}, {}
  packed_connections, connections, changed_connections = {}, {}, {}
  plain, looks_only = nil, nil
  told, batches, latest_of = {}, {}, {}
  in_quotes, replaced, to_look_at, reconnected = {}, {}, 500, {}
end

-- The error for keys that this program does not know.
local function of_other_layout()
  local number, remedy = tonumber(layout), 'run `worker migrate` until it is complete'
  if number and number > tonumber(LAYOUT) then
    remedy = 'upgrade to a version that has layout ' .. layout
  elseif not number and not layout:find('^migrating ') then
    remedy = 'run `worker doctor --repair`, which sets the layout that the other keys have'
  elseif number then
    remedy = 'stop all older workers and producers, then run `worker migrate`'
  end
  return redis.error_reply(
    'LAYOUT the keys of the queue have layout '
      .. layout
      .. ', and this program has layout '
      .. LAYOUT
      .. '; '
      .. remedy
  )
end

-- Runs a script, and writes what it has changed even if it fails half-way, so that everything it
-- did until then is complete. Only the migration runs on `any_layout`.
local function execute(main, writes, any_layout)
  begin()
  layout, numbers[K.seq], numbers[K.turn], numbers[K.token] =
    unpack(call('MGET', K.layout, K.seq, K.turn, K.token))
  if layout and layout ~= LAYOUT and not any_layout then return of_other_layout() end
  local ok, answer = pcall(main)
  if writes and not looks_only then
    local failed = flush()
    if ok and failed then
      ok, answer = false, failed
    end
  end
  if ok then return answer end
  if type(answer) == 'table' then answer = answer.err or '' end
  -- The server's own errors begin with a code in capitals. ERR is left to those from outside of the
  -- script, by which a caller learns that a function is missing.
  local why = tostring(answer):gsub('^%-', '')
  local code = why:match('^(%u+) ')
  return redis.error_reply(code and code ~= 'ERR' and why or 'SCRIPT ' .. why)
end
local function main()
-- Forgets a gateway step by step: its connection, its agents, its place among the lanes and its
-- figures. Only the counts of its ended jobs stay for as long as these are kept. Python runs this
-- script too: docs/protocol.md.
-- KEYS  1 the queue's prefix
-- ARGV  1 author  2 origin  3 reason  4 lane  5 force: 1 or 0  6 where the last call stopped, or
--       empty
-- Returns {result, where it stopped or how many}: `forgotten`; `more`, to be called again;
--   `unknown`; `running`, if jobs of it run; without force also `agents`, if agents are recorded
--   that are not deleted, and `jobs`, if jobs wait. With force these jobs are cancelled.
-- Cost  100 jobs or agents, about 12 commands each.

local lane, force, from, STEPS = ARGV[4], ARGV[5] == '1', ARGV[6], 100
local UNDONE = { 'scheduled', 'ready', 'retrying', 'snoozed', 'blocked' }
local known = gateway(lane)

local function cancel_some(state)
  local cursor = from:match('^' .. state .. ' (%d+)$') or '0'
  local next_cursor, found = unpack(call('ZSCAN', K.state .. state, cursor, 'COUNT', STEPS))
  for i = 1, #found, 2 do
    local job = read(found[i])
    if job and job.lane == lane and job.state == state then
      local why = 'its gateway is forgotten' .. (ARGV[3] ~= '' and ': ' .. ARGV[3] or '')
      go(
        job,
        'cancelled',
        NOW,
        { reason = 'cancelled by ' .. ARGV[1] .. ': ' .. why, by = ARGV[1] }
      )
      offer(job.subject)
    end
  end
  return state .. ' ' .. next_cursor
end

local function forget()
  local waiting, wanted = 0, attempt('ZCOUNT', K.listed .. lane, 0, PLACES.deleted - 1)
  for _, state in ipairs(UNDONE) do
    waiting = waiting + (known[state] or 0)
  end
  local before = connection(lane)
  local is_known = before or wanted > 0 or call('ZSCORE', K.gateways, lane) ~= false
  for name in pairs(known) do
    -- The counts of ended jobs are all that is left of one that was forgotten.
    is_known = is_known or not ENDED[name]
  end
  if not is_known then return { 'unknown', '' } end
  if known.running then return { 'running', text(known.running) } end
  if not force and wanted > 0 then return { 'agents', text(wanted) } end
  if not force and waiting > 0 then return { 'jobs', text(waiting) } end
  for _, state in ipairs(UNDONE) do
    if known[state] then return { 'more', cancel_some(state) } end
  end
  local some = attempt('ZRANGE', K.listed .. lane, 0, STEPS - 1)
  for _, agent in ipairs(some) do
    drop_agent(lane, lane .. '/' .. agent)
    call('ZREM', K.deleted, lane .. '/' .. agent)
    call('HDEL', K.applied, lane .. '/' .. agent)
    forget_line(lane .. '/' .. agent)
  end
  if #some == STEPS then return { 'more', '' } end

  connections[lane], packed_connections[lane], changed_connections[lane] = false, false, nil
  call('HDEL', K.connections, lane)
  forget_line(lane .. '/heartbeats')
  if before then release_document(lane, before.subject, before.document) end
  call('UNLINK', K.heartbeats .. lane, K.blocked .. lane, K.lane .. lane, K.listed .. lane)
  for _, key in ipairs({ K.gateways, K.held, K.reconnected }) do
    call('ZREM', key, lane)
  end
  leave_rotation(K.lanes, lane)
  for name in pairs(known) do
    if not ENDED[name] then known[name] = nil end
  end
  audit('forget-gateway', 'gateway:' .. lane, 'known', 'forgotten')
  return { 'forgotten', '' }
end

local answer = forget()
-- Nothing is written of a gateway that nothing is known of.
if not next(known) then
  lanes[lane] = nil
  call('HDEL', K.gateway, lane)
end
return answer

end

return execute(main, true, false)
