#!lua flags=no-writes
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
    gateway = prefix .. ':gateway',
    agents = prefix .. ':agents',
    connections = prefix .. ':connections',
    group = prefix .. ':group:',
    groups = prefix .. ':groups',
    failures = prefix .. ':failures',
    wrong = prefix .. ':wrong:',
    unreadable = prefix .. ':unreadable',
    events = prefix .. ':events',
    minute = prefix .. ':minute:',
  }
  named[prefix] = K
end
local STATES = { 'scheduled', 'ready', 'running', 'retrying', 'snoozed', 'blocked', 'done', 'dead', 'superseded', 'cancelled', }
local STATE_CODES = { scheduled = 1, ready = 2, running = 3, retrying = 4, snoozed = 5, blocked = 6, done = 7, dead = 8, superseded = 9, cancelled = 10, }
local ENDED = { done = true, dead = true, superseded = true, cancelled = true, }
local KINDS = { 'provision', ['provision'] = 1, 'provision-main', ['provision-main'] = 2, 'cleanup', ['cleanup'] = 3, 'heartbeat-sync', ['heartbeat-sync'] = 4, }
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

-- Wakes -------------------------------------------------------------------------------------------

local wakes, MYSELF

-- What is kept of records, rotations and other things until the end of a call, and how it is written.
-- Comes after prelude.lua.

-- Rotations ---------------------------------------------------------------------------------------

-- By rotation: lanes that leave it, how many at its head do, and lanes that come to it, with their
-- turns. Turns count down, because Redis adds at the front of a short sorted set, not at its end,
-- without going through it.
local left, served, offered

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

local function write_lines()
  local list = {}
  for subject in pairs(changed_lines) do
    local line = lines[subject]
    list[#list + 1] = subject
    list[#list + 1] = struct.pack('<I6', line.seq) .. line.latest .. '|' .. line.only
  end
  in_parts('HSET', K.line, list)
end

-- Lanes whose gateways have got another connection in this call.
local reconnected

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
-- Reads one job with all its fields and runs.
-- KEYS  1 the queue's prefix
-- ARGV  1 id
-- Returns {fields and values, runs}, both flat; empty if the job does not exist; the error UNREADABLE
--   if its head cannot be read.
-- Cost  4 commands, 2 more if it cannot be read.

local job = read(ARGV[1])
if not job then
  local spoilt = call('HEXISTS', K.job, ARGV[1]) == 1
  if spoilt or call('HEXISTS', K.unreadable, 'job ' .. ARGV[1]) == 1 then
    local where = spoilt and K.job .. ' ' .. ARGV[1] or K.unreadable .. " 'job " .. ARGV[1] .. "'"
    return redis.error_reply(
      'UNREADABLE the head of job '
        .. ARGV[1]
        .. ' cannot be read (HGET '
        .. where
        .. '); enqueue its document again, if it is still wanted'
    )
  end
  return { {}, {} }
end
local fields, runs = shown_job(job, document_of(job)), {}
for run in (out_of(job.id):match('\n(.*)$') or ''):gmatch('[^\n]+') do
  runs[#runs + 1] = run
end
return { fields, runs }

end

return execute(main, false, false)
