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
