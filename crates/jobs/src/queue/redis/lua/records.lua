-- The records of gateways and agents: what documents ask for, merged over all jobs. Comes after
-- prelude.lua.
--
-- Scripts never look into a document. A record names the documents that hold its parts by the ids
-- of their jobs; letters (`parts`) say which parts a document has. keys.rs lists the fields of both
-- records.

-- The parts that a run has to carry out once.
local OWED = { 'f', 'p', 'r', 'w' }

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

-- The connection of the newest document that has one is in force, unless its producer says that it
-- is an older one. Fingerprints tell connections apart; a document without one counts as having the
-- same. Returns whether it is in force now.
local function record_connection(job, fingerprint)
  if not (job.parts or ''):find('c', 1, true) then return false end
  local before = connection(job.lane) or {}
  local revision = job.revision or before.revision
  if
    (revision or 0) < (before.revision or 0)
    or revision == before.revision and job.seq < (before.seq or 0)
  then
    return false
  end
  local is_other = fingerprint and fingerprint ~= before.fingerprint
  save_connection(job.lane, {
    revision = revision,
    seq = job.seq,
    document = job.id,
    subject = job.subject,
    at = NOW,
    fingerprint = fingerprint or before.fingerprint,
    changed = is_other and NOW or before.changed,
  })
  if before.document then release_document(job.lane, before.subject, before.document) end
  if is_other then reconnected[job.lane] = true end
  return true
end

-- Merges a job's document into the record of its agent. Returns whether the document is the newest.
local function record_agent(job)
  local before = agent_record(job.subject) or { seq = 0 }
  local generation = job.generation or before.generation
  if
    (generation or 0) < (before.generation or 0)
    or generation == before.generation and job.seq < before.seq
  then
    return false
  end
  local record =
    { generation = generation, seq = job.seq, job = job.id, observed = before.observed }
  if job.kind == 'cleanup' then
    -- The parts stay until the agent is gone, because a person can cancel the cleanup.
    for _, part in ipairs({ 'desired', 'token', unpack(OWED) }) do
      record[part] = before[part]
    end
    record.phase = 'deleting'
    -- What it returns to then.
    record.since = before.phase == 'deleting' and before.since or before.seq
    record.gone = before.gone or before.phase == 'deleted' or nil
  else
    if before.phase then
      before, record.observed = {}, nil
    end
    record.desired = job.id
    record.token = job.parts:find('t', 1, true) and job.id or before.token
    for _, letter in ipairs(OWED) do
      record[letter] = job.parts:find(letter, 1, true) and job.id or before[letter]
    end
  end
  replace_agent(job.lane, job.subject, record)
  return true
end

-- A heartbeat-sync says the heartbeats of its agents, as JSON by id: the newest of each counts.
local function record_heartbeats(job, heartbeats)
  local ok, by_id = pcall(cjson.decode, heartbeats)
  local key, ids, list = K.heartbeats .. job.lane, {}, {}
  for id, heartbeat in pairs(ok and type(by_id) == 'table' and by_id or {}) do
    if type(id) == 'string' and type(heartbeat) == 'string' then ids[#ids + 1] = id end
  end
  for first = 1, #ids, PART do
    local some = { unpack(ids, first, math.min(first + PART - 1, #ids)) }
    for i, known in ipairs(attempt('HMGET', key, unpack(some))) do
      if (tonumber(known and known:match('^%d+')) or 0) < job.seq then
        list[#list + 1], list[#list + 2] = some[i], text(job.seq) .. ' ' .. by_id[some[i]]
      end
    end
  end
  in_parts('HSET', key, list, attempt)
  if #list > 0 then gateway(job.lane).synced = 1 end
end

-- The scheduled cleanup of the highest generation of this job's agent, if there is one: other
-- scheduled jobs have none of their own.
local function scheduled_cleanup(job)
  if not gateway(job.lane).scheduled then return nil end
  local ids, highest = attempt('ZRANGE', K.later .. job.subject, -LINE, -1) or {}, nil
  read_all(ids)
  for _, id in ipairs(ids) do
    local other = read(id)
    local generation = other and other.generation
    if generation and generation >= (highest and highest.generation or 0) then highest = other end
  end
  return highest
end

-- A document changes the records when it is enqueued, even if its job is to run later: nothing of it
-- is lost if a newer job replaces that job meanwhile. Only a cleanup marks its agent when it is due,
-- but its generation counts until then. Returns the job whose document is newer, if there is one.
local function record_document(job, heartbeats, fingerprint)
  record_connection(job, fingerprint)
  if MERGES[job.kind] then
    record_heartbeats(job, heartbeats)
    return nil
  end
  local cleanup, known = scheduled_cleanup(job), agent_record(job.subject)
  if cleanup then
    local seen = cleanup.generation
    if (job.generation or seen) < seen then return cleanup.id end
    -- Without a number, the order of enqueueing counts.
    job.generation = job.generation or math.max(seen, known and known.generation or 0)
  end
  if job.kind ~= 'cleanup' and not record_agent(job) then return known.job end
end

-- Does what `observe` does to a record that nobody has looked at in this call, if what was owed is all
-- that it owes. Returns whether it did.
local function observe_at_once(job, seq, carried)
  local subject, length = job.subject, #carried
  local packed = packed_agents[subject]
  if not packed or #packed < PARTS_FROM or agents[subject] ~= nil or job.kind == 'cleanup' then
    return false
  end
  local at = carried:find('w', 1, true)
  if at and carried:find(job.id, at, true) ~= at + 1 then return false end
  if length > 0 and packed:sub(-length) ~= carried then return false end
  local newest, generation, _, phase, since = struct.unpack(AGENT, packed)
  packed_agents[subject] = struct.pack(AGENT, newest, generation, seq, phase, since)
    .. packed:sub(PARTS_FROM, -length - 1)
  changed_agents[subject] = true
  return true
end

-- A run has proven on the gateway what the record said when it began: its `seq`, and what was owed,
-- as letters with ids.
local function observe(job, seq, carried)
  if observe_at_once(job, seq, carried) then return end
  local record = agent_record(job.subject)
  if not record then return end
  if job.kind ~= 'cleanup' then
    record.observed = seq
    save_agent(job.subject, record)
    for letter, id in carried:gmatch('(%l)(%x[%x%-]+)') do
      if record[letter] == id then
        record[letter] = nil
        release_document(job.lane, job.subject, id)
      end
    end
  elseif record.phase == 'deleting' and record.seq == seq then
    replace_agent(
      job.lane,
      job.subject,
      { generation = record.generation, seq = seq, job = record.job, phase = 'deleted' }
    )
    attempt('HDEL', K.heartbeats .. job.lane, job.subject:match('/(.*)$') or '')
    call('ZADD', K.deleted, NOW, job.subject)
  elseif record.phase == 'deleting' and (record.since or record.seq) < seq then
    -- A newer cleanup waits, but there is nothing left to return to if it is cancelled.
    replace_agent(job.lane, job.subject, {
      generation = record.generation,
      seq = record.seq,
      job = record.job,
      phase = 'deleting',
      since = record.since,
      gone = true,
    })
  end
end

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
