-- Moves the keys of layout 1 or 2 to this layout, a part in each call. Each call moves whole
-- jobs, and leaves alone what has been moved, so calls may be repeated, and may stop at any time.
-- KEYS  1 the queue's prefix
-- ARGV  1 the part: `look`, which changes nothing; `begin`; `record`, for layout 1, which has no
--       records: it makes those that jobs need which have not ended, given by their numbers;
--       `agents` and `gateways`, which move what records need; the name of a state, which moves its
--       jobs; `end`
--       of `look` and `begin`: 2 how long (in ms) a worker counts as alive after its heartbeat
--       of `record`, per job: id, the parts of its document as letters, heartbeats by agent
--       (JSON, or empty), fingerprint of its connection or empty, its document as it is sealed
--       now or empty
--       of the parts after it: 2 where to go on, at first 0  3 how many
--       of `end`: the ids of jobs that cannot be read or are not there, which are listed no more
-- Returns of `look` and `begin` {the layout, or empty, or `?` and what its key is instead; `alive` if that keeps the keys from being
--   moved; workers that are alive; running jobs with a lease; ms until the last of the leases
--   ends; names of states and their numbers of jobs, flat}; of `agents`, `gateways` and states
--   {where to go on, or -1 at the end; number of jobs moved; ids of jobs that cannot be read,
--   which stay where they are; ids without a job}; of `record` and `end` nothing.
-- Cost  about 10 commands per job; of `agents` 5 for each agent, of `gateways` 5 for each gateway
--   and 4 for each agent that was cleaned up in the last day; of `look`, `begin` and `end` 15.

local BEGUN, VALUES = '^migrating from (%d+)', 5
local part, place, count = ARGV[1], ARGV[2], tonumber(ARGV[3])
local begun = (layout or ''):match(BEGUN)

-- Whether the old workers may still be there, and the numbers of jobs. Later times than these are
-- of a clock that was set back.
local LONGEST_LEASE = 300000
local function look()
  local workers = call('ZRANGEBYSCORE', K.beats, NOW - place, NOW + place)
  local running, numbered = K.state .. 'running', {}
  local leased = call('ZCOUNT', running, '(' .. NOW_TEXT, NOW + LONGEST_LEASE)
  local last = tonumber(call('ZREVRANGE', running, 0, 0, 'WITHSCORES')[2] or 0)
  local ends = math.max(math.min(last - NOW, LONGEST_LEASE), 0)
  for _, state in ipairs(STATES) do
    numbered[#numbered + 1], numbered[#numbered + 2] = state, call('ZCARD', K.state .. state)
  end
  -- Once it has begun, older workers are refused whatever they do.
  local alive = not begun and (#workers > 0 or leased > 0)
  local kind, stored = call('TYPE', K.layout).ok, layout or ''
  if kind ~= 'none' and stored == '' then
    stored = kind == 'string' and '?empty' or '?of type ' .. kind
  end
  return { stored, alive and 'alive' or '', workers, leased, ends, numbered }
end

-- The keys that are not needed any more. They are removed when all that they held is written.
local old, strange, absent, moved_jobs = {}, {}, {}, 0

-- The first job of a subject brings what was known of the subject. Its line is made anew.
local function move_subject(subject)
  if lines[subject] or call('HEXISTS', K.line, subject) == 1 then return end
  local line, key = line_of(subject), K.latest .. subject
  local seq, id = (call('GET', key) or ''):match('^(%d+) ?(.*)$')
  line.seq, line.latest, changed_lines[subject] = tonumber(seq or 0), id or '', true
  call('UNLINK', K.subject .. subject)
  old[#old + 1] = key
end

local function add_document(lane, id, document)
  local list = documents[lane] or {}
  list[#list + 1], list[#list + 2], documents[lane] = id, document, list
end

-- Whether a job has what its head needs.
local function is_whole(job, id)
  if type(job) ~= 'table' or job.id ~= id or not STATE_CODES[job.state] then return false end
  for _, name in ipairs({ 'seq', 'attempts', 'runs', 'enqueued_at', 'priority', 'max_attempts' }) do
    if type(job[name]) ~= 'number' then return false end
  end
  local lane, subject = job.lane, job.subject
  if type(lane) ~= 'string' or type(subject) ~= 'string' or #lane > 255 then return false end
  return type(job.kind) == 'string' and subject:sub(1, #lane + 1) == lane .. '/'
end

-- A job of the old layout; nil if it was moved or cannot be read.
local function old_job(id, packed)
  local ok, job = pcall(cmsgpack.unpack, packed or '')
  return ok and is_whole(job, id) and job or nil
end

-- The fields of the key of a job; none if it is no hash.
local function old_fields(id, ...)
  local fields = redis.pcall('HMGET', K.old_job .. id, ...)
  if fields.err and not fields.err:find('WRONGTYPE', 1, true) then error(fields.err, 0) end
  return unpack(fields)
end

local function move_job(id)
  local key = K.old_job .. id
  local packed, document, report, history = old_fields(id, 'job', 'payload', 'report', 'history')
  local job = old_job(id, packed)
  if not job then
    if call('EXISTS', key) == 1 then
      strange[#strange + 1] = id
    elseif not read(id) then
      absent[#absent + 1] = id
    end
    return
  end
  local ends = job.timeline and job.timeline:match('(%d+)$')
  job.since, job.finished_at = job.finished_at or tonumber(ends or job.enqueued_at), nil
  if job.before == '' then job.before = nil end
  if job.timeline == plain_timeline(job) then job.timeline = nil end
  -- The records have these, except of a cleanup that is not due.
  if not (job.kind == 'cleanup' and job.state == 'scheduled') then
    job.parts, job.generation, job.revision = nil, nil, nil
  end
  job.flags, job.inherited = nil, nil
  jobs[id] = job
  save(job)
  if document then add_document(job.lane, id, document) end
  if report or history then
    outs[id] = (report or '') .. '\n' .. (history and history .. '\n' or '')
  end
  move_subject(job.subject)
  if job.state ~= 'scheduled' and not ENDED[job.state] then add_to_line(job) end
  if job.state == 'ready' and job.lost then
    -- Layout 1 did not let it run alone.
    if call('ZREM', K.lane .. job.lane, offered_as(job)) == 1 then offer_job(job) end
  end
  if not MERGES[job.kind] and not agent_record(job.subject) then
    call('ZADD', K.remembered, NOW, job.subject)
  end
  old[#old + 1], moved_jobs = key, moved_jobs + 1
end

local function record_job(id, parts, heartbeats, fingerprint, document)
  local job = old_job(id, old_fields(id, 'job'))
  if not job then return end
  if document ~= '' then call('HSET', K.old_job .. id, 'payload', document) end
  if ENDED[job.state] then return end
  job.parts = parts .. (job.inherited or '')
  record_connection(job, fingerprint ~= '' and fingerprint or nil)
  if MERGES[job.kind] then
    record_heartbeats(job, heartbeats)
  elseif job.kind ~= 'cleanup' or job.state ~= 'scheduled' then
    record_agent(job)
  end
end

-- Moves a document that a record needs although its job is gone.
local function move_document(lane, id)
  if not id then return end
  local job, document = old_fields(id, 'job', 'payload')
  if job or not document then return end
  add_document(lane, id, document)
  old[#old + 1] = K.old_job .. id
end

-- A record of layout 2, which was a MessagePack map; nil if it is none.
local function old_record(packed)
  local ok, record = pcall(cmsgpack.unpack, packed or '')
  return ok and type(record) == 'table' and type(record.seq) == 'number' and record or nil
end

local function move_agents()
  local cursor, found = unpack(call('HSCAN', K.agents, place, 'COUNT', count))
  for i = 1, #found, 2 do
    local subject, record = found[i], old_record(found[i + 1])
    if record then save_agent(subject, record) end
    record = agent_record(subject)
    move_subject(subject)
    for _, name in ipairs(READ) do
      move_document(subject:match('^[^/]*'), record and record[name])
    end
  end
  return cursor == '0' and -1 or cursor
end

-- The place after the members of a sorted set that come now, and these.
local function next_of_list(key)
  local first = tonumber(place)
  local found = call('ZRANGE', key, first, first + count - 1)
  return #found == count and first + count or -1, found
end

-- The agents of a gateway that layout 1 knew as cleaned up.
local function record_deleted(lane)
  local gone = call('ZRANGE', K.gone .. lane, 0, PART - 1, 'WITHSCORES')
  for i = 1, #gone, 2 do
    local subject = lane .. '/' .. gone[i]
    if not agent_record(subject) then
      replace_agent(lane, subject, { seq = tonumber(gone[i + 1]), phase = 'deleted' })
      call('ZADD', K.deleted, NOW, subject)
    end
  end
end

local function move_gateways()
  local rest, found = next_of_list(K.gateways)
  for _, lane in ipairs(found) do
    local known = old_record(call('HGET', K.connections, lane))
    if known then
      known.at, known.subject = tonumber(known.at) or NOW, known.subject or lane .. '/connection'
      save_connection(lane, known)
    end
    known = connection(lane)
    move_document(lane, known and known.document)
    record_deleted(lane)
    if call('EXISTS', K.heartbeats .. lane) == 1 then gateway(lane).synced = 1 end
  end
  return rest
end

local function move_jobs()
  local rest, found = next_of_list(K.state .. part)
  for _, id in ipairs(found) do
    move_job(id)
  end
  return rest
end

if part == 'look' or part == 'begin' then
  local answer = look()
  if part == 'begin' and (layout == '1' or layout == '2') and answer[2] == '' then
    -- Older programs show this when they are refused.
    call(
      'SET',
      K.layout,
      'migrating from ' .. layout .. ' (run `worker migrate` of the newer version)'
    )
  end
  return answer
end
-- Another process may have ended the move.
if not begun then return { -1, 0, {}, {} } end
if part == 'end' then
  local ids = {}
  for i = 2, #ARGV do
    ids[#ids + 1] = ARGV[i]
  end
  for _, state in ipairs(STATES) do
    in_parts('ZREM', K.state .. state, ids)
    if #ids > 0 then recount(state) end
  end
  call('SET', K.layout, LAYOUT)
  wake()
  return
end
if part == 'record' then
  for i = 2, #ARGV, VALUES do
    record_job(unpack(ARGV, i, i + VALUES - 1))
  end
  return
end
local moves = { agents = move_agents, gateways = move_gateways }
local rest = (moves[part] or move_jobs)()
write_jobs()
write_lines()
write_records()
unsaved, outs, documents, changed_lines = {}, {}, {}, {}
for _, key in ipairs(old) do
  call('UNLINK', key)
end
return { rest, moved_jobs, strange, absent }
