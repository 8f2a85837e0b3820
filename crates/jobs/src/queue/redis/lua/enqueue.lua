-- Stores jobs, all or none. Python and other producers run this script too: docs/protocol.md.
-- KEYS  1 the queue's prefix
-- ARGV  1 wire version, then per job: id, envelope version, kind, lane, subject, max attempts,
--       delay in ms, priority, ms until it expires or 0, idempotency key or empty, its life in ms,
--       the parts of the document as letters, generation of its agent or empty, revision of its
--       gateway or empty, heartbeats by agent (JSON, or empty), fingerprint of its connection or
--       empty, payload
-- Returns per job {id, state or empty if it has ended and been removed, ids of the jobs that it
--   replaced}. A job whose id or idempotency key already exists is left as it is.
-- Cost  about 8 commands per job, 3 for each job that it replaces, at most 200 of its subject, and 6
--   for each job that another connection sets free, at most 20; the caller sends at most 50 jobs.

-- A document has 1 MiB at most, and is longer once it is sealed.
local WIRE, VALUES, MAX_PAYLOAD = '2', 17, 1088 * 1024
local function wrong(what) return redis.error_reply('PROTOCOL ' .. what) end
if ARGV[1] ~= WIRE then
  return wrong('wire version ' .. WIRE .. ' is spoken here, not ' .. tostring(ARGV[1]))
end
if (#ARGV - 1) % VALUES ~= 0 then return wrong('each job takes ' .. VALUES .. ' values') end
-- Which values are whole numbers, and which are words, with their greatest lengths.
local NUMBERS, WORDS = { 5, 6, 7, 8, 10 }, { 20, 100, 100, 200 }
local function unfit(i)
  if #ARGV[i] ~= 36 or not ARGV[i]:find('^%x+%-%x+%-%x+%-%x+%-%x+$') then
    return 'the id is no UUID'
  end
  for place, longest in ipairs(WORDS) do
    local word = ARGV[i + place]
    if word == '' or #word > longest or word:find('[^%w%-_./:]') then
      return 'value ' .. (place + 1) .. ' is no word of letters, digits and - _ . / :'
    end
  end
  local lane = ARGV[i + 3] .. '/'
  if ARGV[i + 4]:sub(1, #lane) ~= lane then
    return 'the subject does not begin with the lane and /'
  end
  for _, place in ipairs(NUMBERS) do
    local number = ARGV[i + place]
    if number == '' or #number > 13 or number:find('%D') then
      return 'value ' .. (place + 1) .. ' is no whole number'
    end
  end
  if #ARGV[i + 7] > 1 then return 'the priority is not 0 to 9' end
  if #ARGV[i + 9] > 200 then return 'the idempotency key is longer than 200 bytes' end
  if ARGV[i + 9] ~= '' and tonumber(ARGV[i + 10]) < 1 then
    return 'the idempotency key has no life'
  end
  if #ARGV[i + 11] > 20 or ARGV[i + 11]:find('%L') then
    return 'the parts are not at most 20 letters'
  end
  for place = 12, 13 do
    local number = ARGV[i + place]
    if #number > 15 or number:find('%D') then
      return 'value ' .. (place + 1) .. ' is no whole number below 10^15'
    end
  end
  if #ARGV[i + 15] > 64 or ARGV[i + 15]:find('%X') then
    return 'the fingerprint is not at most 64 hex digits'
  end
  if #ARGV[i + 14] > MAX_PAYLOAD or #ARGV[i + 16] > MAX_PAYLOAD then
    return 'the payload is larger than ' .. MAX_PAYLOAD .. ' bytes'
  end
end
for i = 2, #ARGV, VALUES do
  local why = unfit(i)
  if why then return wrong('job ' .. ((i - 2) / VALUES + 1) .. ': ' .. why) end
end

local came = {}

local function store(i)
  local function arg(n) return ARGV[i + n] end
  local delay, expiry, seq = tonumber(arg(6)), tonumber(arg(8)), next_of(K.seq)
  local function optional(value) return value ~= '' and value or nil end
  local job = {
    id = arg(0),
    version = arg(1) ~= '1' and arg(1) or nil,
    kind = arg(2),
    lane = arg(3),
    subject = arg(4),
    max_attempts = tonumber(arg(5)),
    priority = tonumber(arg(7)),
    seq = seq,
    attempts = 0,
    runs = 0,
    enqueued_at = NOW,
    parts = arg(11),
    generation = tonumber(arg(12)),
    revision = tonumber(arg(13)),
    idempotency_key = optional(arg(9)),
  }
  jobs[job.id] = job
  local list = documents[job.lane] or {}
  list[#list + 1], list[#list + 2], documents[job.lane] = job.id, arg(16), list
  job.before = note_latest(job.subject, seq, job.id)
  came[job.lane] = true
  if expiry > 0 then
    job.expires_at = NOW + expiry
    call('ZADD', K.expiry, job.expires_at, job.id)
  end
  meter(job, 'enqueued')
  local newer = record_document(job, arg(14), optional(arg(15)))
  if newer then
    go(job, 'superseded', NOW, { superseded_by = newer })
  elseif delay > 0 then
    go(job, 'scheduled', NOW + delay)
    attempt('ZADD', K.later .. job.subject, seq, job.id)
    -- Idle workers have to look again, to know when this one is due.
    wake()
  else
    arrive(job)
  end
  -- The records have these now, but a cleanup changes its agent's only when it is due.
  if not (job.kind == 'cleanup' and job.state == 'scheduled') then
    job.parts, job.generation, job.revision = nil, nil, nil
  end
end

if not layout then create() end
local ids, new, their_lanes, subjects = {}, {}, {}, {}
for i = 2, #ARGV, VALUES do
  their_lanes[#their_lanes + 1], subjects[#subjects + 1] = ARGV[i + 3], ARGV[i + 4]
  local id, key, fresh = ARGV[i], ARGV[i + 9], true
  if key ~= '' then
    fresh = call('SET', K.idem .. key, id, 'NX', 'PX', ARGV[i + 10])
    local first = not fresh and attempt('GET', K.idem .. key)
    if first and #first >= 36 then
      id = first
    elseif not fresh then
      fresh = call('SET', K.idem .. key, id, 'PX', ARGV[i + 10])
    end
  end
  ids[#ids + 1], new[#new + 1] = id, fresh
end
read_all(ids)
read_lanes(their_lanes)
read_connections(their_lanes)
read_agents(subjects)
read_lines(subjects)
for k, id in ipairs(ids) do
  if new[k] and not read(id) then store(2 + (k - 1) * VALUES) end
end
free_reconnected()
local list = {}
for lane in pairs(came) do
  list[#list + 1], list[#list + 2] = NOW, lane
end
in_parts('ZADD', K.gateways, list)
local answer = {}
for i, id in ipairs(ids) do
  local job = read(id)
  answer[i] = { id, job and job.state or '', replaced[id] or {} }
end
return answer
