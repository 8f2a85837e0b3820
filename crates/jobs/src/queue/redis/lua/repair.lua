-- Repairs keys that were removed or spoilt, or only counts what is to be repaired, a part in each
-- call. Workers may run meanwhile: each call leaves everything that it looked at complete.
-- KEYS  1 the queue's prefix
-- ARGV  1 author  2 origin  3 reason  4 whether to repair: 1, or 0 to change nothing  5 the part
--       6 where to go on, at first 0  7 lease in ms
--       of `keys`: keys of the whole queue, each with its type
--       of a hash (`gateway`, `line`, `agents`, `connections`, `failures`, `workers`, `paused`,
--       `more`, `job`), of `listed` (the agents of gateways), of `groups` and of the name of a state: nothing
--       of `record`, per job: id, what of its records is missing (`c`, `a`, `h`), and of its document
--       the parts, generation, revision, heartbeats and fingerprint as in enqueue.lua
--       of `numbers`: a lane, ids of its jobs
--       of `end`, which writes the audit: nothing
-- Returns {where to go on, or -1 at the end; names of wounds and how many were found, flat; what they
--   are about: of `keys` and hashes keys and fields, of states and lanes ids without a job; of `listed` lanes, and of `job` per job: id,
--   lane, seq, what of its records is missing, flat}.
-- Cost  100 entries, about 12 commands each; of `numbers` 1 command for 1000 jobs; of `record` about
--   12 commands for each job.

local part, cursor, lease = ARGV[5], ARGV[6], tonumber(ARGV[7])
local STEP, MOST_AGENTS, VALUES = 100, 1000, 7
if layout and layout ~= LAYOUT and (tonumber(layout) or layout:find('^migrating ')) then
  return of_other_layout()
end
if ARGV[4] ~= '1' then looks_only = true end
if part ~= 'keys' then read_pauses() end

local wounds, about, rows = {}, {}, {}
local function found(what, name)
  wounds[what] = (wounds[what] or 0) + 1
  about[#about + 1] = name
  return not looks_only
end

local function check_keys()
  for i = 8, #ARGV, 2 do
    local key, kind = ARGV[i], call('TYPE', ARGV[i]).ok
    if kind ~= 'none' and kind ~= ARGV[i + 1] then
      if found('types', key .. ' is a ' .. kind .. ', not a ' .. ARGV[i + 1]) then
        call('RENAMENX', key, K.wrong .. NOW_TEXT .. ':' .. key:sub(#queue + 2))
      end
    end
  end
  local has_jobs = call('TYPE', K.job).ok == 'hash'
  if layout ~= LAYOUT and has_jobs and found('layout', K.layout) then create() end
end

local function is_json(value) return (pcall(cjson.decode, value)) end
local HASHES = {
  gateway = { K.gateway, unpack_map },
  failures = { K.failures, unpack_map },
  workers = { K.workers, unpack_map },
  more = { K.more, unpack_map },
  paused = { K.paused, is_json },
  line = { K.line, function(packed) return #packed > 6 and packed:find('|', 7, true) end },
  agents = { K.agents, function(_, subject) return agent_record(subject) end },
  connections = { K.connections, function(_, lane) return connection(lane) end },
  job = { K.job, function(_, id) return read(id) end },
  listed = { K.gateway, function() return true end },
}

-- The lists that agents stand in.
local function check_agent(subject)
  local lane, record = subject:match('^[^/]*'), agent_record(subject)
  local key, place, id = K.listed .. lane, PLACES[record.phase] or 1, agent_of(subject)
  if tonumber(attempt('ZSCORE', key, id) or -1) ~= place and found('agents') then
    attempt('ZADD', key, place, id)
  end
  local deleted = record.phase == 'deleted'
  if deleted and not call('ZSCORE', K.deleted, subject) and found('agents') then
    call('ZADD', K.deleted, NOW, subject)
  end
end

local function check_listed(lane)
  for _, id in ipairs(attempt('ZRANGE', K.listed .. lane, 0, MOST_AGENTS - 1) or {}) do
    if not agent_record(lane .. '/' .. id) and found('strays') then
      attempt('ZREM', K.listed .. lane, id)
    end
  end
end

-- What is missing of the records that a job's document changes.
local function missing_records(job)
  local missing, lane = '', job.lane
  if not connection(lane) and call('ZSCORE', K.gateways, lane) then missing = 'c' end
  if MERGES[job.kind] then
    local kept = ENDED[job.state] or call('EXISTS', K.heartbeats .. lane) == 1
    return kept and missing or missing .. 'h'
  end
  local due = job.kind ~= 'cleanup' or job.state ~= 'scheduled' and job.state ~= 'cancelled'
  if agent_record(job.subject) or not due then return missing end
  -- Of an agent that was forgotten only ended jobs are left.
  local lost = not ENDED[job.state] or attempt('ZSCORE', K.listed .. lane, agent_of(job.subject))
  return lost and missing .. 'a' or missing
end

local function check_hash(key, reads)
  local rest, entries = unpack(call('HSCAN', key, cursor, 'COUNT', STEP))
  local readable = {}
  for i = 1, #entries, 2 do
    local field = entries[i]
    if reads(entries[i + 1], field) then
      readable[#readable + 1] = field
    elseif found('unreadable', part .. ' ' .. field) then
      call('HSET', K.unreadable, part .. ' ' .. field, entries[i + 1])
      call('HDEL', key, field)
    end
  end
  if part == 'job' then heal_jobs(readable, lease, found) end
  for _, field in ipairs(readable) do
    local job = part == 'job' and read(field)
    if job then
      local n = #rows
      rows[n + 1], rows[n + 2], rows[n + 3] = field, job.lane, text(job.seq)
      rows[n + 4] = missing_records(job)
      -- Nothing is known of a subject that was forgotten, which may have jobs that have ended.
      local seq = line_of(job.subject).seq
      local is_known = seq > 0 or not ENDED[job.state]
      if is_known and seq < job.seq and found('lines') then
        note_latest(job.subject, job.seq, field)
      end
    elseif part == 'agents' then
      check_agent(field)
    elseif part == 'listed' then
      rows[#rows + 1] = field
      check_listed(field)
    end
  end
  return rest
end

local function check_state()
  local rest, entries = unpack(call('ZSCAN', K.state .. part, cursor, 'COUNT', STEP))
  local ids = {}
  for i = 1, #entries, 2 do
    ids[#ids + 1] = entries[i]
  end
  read_all(ids)
  for _, id in ipairs(ids) do
    local job = read(id)
    local strays = not job or job.state ~= part
    if strays and found('strays', 'state:' .. part .. ' ' .. id) then
      call('ZREM', K.state .. part, id)
    end
  end
  return rest
end

local function check_groups()
  local rest, entries = unpack(call('ZSCAN', K.groups, cursor, 'COUNT', STEP))
  for i = 1, #entries, 2 do
    local name, is_used = entries[i], false
    local members = attempt('ZRANGE', K.group .. name, 0, STEP - 1) or {}
    read_all(members)
    for _, id in ipairs(members) do
      local job = read(id)
      is_used = is_used or job and job.group == name
      if not (job and job.group == name) and found('strays') then
        attempt('ZREM', K.group .. name, id)
      end
    end
    if not is_used and #members < STEP and found('strays') then left_groups[name] = true end
  end
  return rest
end

-- Merges the document of a job into the records that were missing.
local function record(i)
  local stored, missing, heartbeats, fingerprint =
    read(ARGV[i]), ARGV[i + 1], ARGV[i + 5], ARGV[i + 6]
  if not stored then return end
  local job = copy(stored)
  job.parts, job.generation, job.revision =
    ARGV[i + 2], tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4])
  local has_connection = missing:find('c', 1, true) and job.parts:find('c', 1, true)
  if has_connection and not connection(job.lane) then found('records') end
  if has_connection and not looks_only then
    record_connection(job, fingerprint ~= '' and fingerprint or nil)
  end
  if missing:find('h', 1, true) and heartbeats ~= '' and found('records') then
    record_heartbeats(job, heartbeats)
  end
  if not missing:find('a', 1, true) then return end
  if not agent_record(job.subject) then found('records') end
  if looks_only or not record_agent(job) or job.state ~= 'done' then return end
  local after, carried = agent_record(job.subject), ''
  for _, letter in ipairs(OWED) do
    if after[letter] then carried = carried .. letter .. after[letter] end
  end
  observe(job, job.seq, carried)
end

-- How many jobs a gateway has in each state.
local function check_numbers()
  local lane, ids, seen, real = ARGV[8], {}, {}, {}
  clear_lane(lane, found)
  local function add(id)
    if not seen[id] then
      ids[#ids + 1], seen[id] = id, true
    end
  end
  for i = 9, #ARGV do
    add(ARGV[i])
  end
  for _, id in ipairs(attempt('HKEYS', K.document .. lane) or {}) do
    add(id)
  end
  local CODE_AT, KIND_AT = 7, 25
  for first = 1, #ids, PART do
    local heads = call('HMGET', K.job, unpack(ids, first, math.min(first + PART - 1, #ids)))
    for _, head in ipairs(heads) do
      local state = head and #head > FIXED and STATES[head:byte(CODE_AT)]
      if state then
        real[state] = (real[state] or 0) + 1
        if state == 'running' and MERGES[KINDS[head:byte(KIND_AT)]] then
          real.merging = (real.merging or 0) + 1
        end
      end
    end
  end
  local known, wrong = gateway(lane), false
  for _, name in ipairs({ 'merging', unpack(STATES) }) do
    wrong = wrong or known[name] ~= real[name]
  end
  if not wrong or not found('numbers') then return end
  for _, name in ipairs({ 'merging', unpack(STATES) }) do
    known[name] = real[name]
  end
  disown(lane, known)
  if known.ready then offer_lane(lane) end
end

local rest = '0'
if part == 'keys' then
  check_keys()
elseif part == 'record' then
  for i = 8, #ARGV, VALUES do
    record(i)
  end
  free_reconnected()
elseif part == 'numbers' then
  check_numbers()
elseif part == 'groups' then
  rest = check_groups()
elseif part == 'end' then
  audit('repair', 'queue')
  wake()
else
  local hash = HASHES[part]
  if hash then
    rest = check_hash(unpack(hash))
  else
    rest = check_state()
  end
end
local counts = {}
for what, times in pairs(wounds) do
  counts[#counts + 1], counts[#counts + 2] = what, times
end
return { rest == '0' and '-1' or rest, counts, about, rows }
