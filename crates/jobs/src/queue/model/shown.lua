-- What of a queue has changed since this was last asked. KEYS 1 prefix; ARGV states, '', lanes, '',
-- keys that wake, '', ids of jobs. Returns names and texts of the changed parts, flat, then the
-- events since then.
local changed = {}
local function show(part, words, rest)
  if redis.call('HGET', KEYS[1] .. ':test-shown', part) == words then return end
  redis.call('HSET', KEYS[1] .. ':test-shown', part, words)
  changed[#changed + 1] = part
  changed[#changed + 1] = words .. (rest and rest() or '')
end

local function worded(value)
  if type(value) == 'number' then return string.format('%.0f', value) end
  return value
end

local now = redis.call('GET', KEYS[1] .. ':test-clock')
local lists = { {}, {}, {}, {} }
local list = 1
for _, arg in ipairs(ARGV) do
  if arg == '' then
    list = list + 1
  else
    table.insert(lists[list], arg)
  end
end
local states, all_lanes, names, ids = unpack(lists)

for _, state in ipairs(states) do
  local members = redis.call('ZRANGE', KEYS[1] .. ':state:' .. state, 0, -1, 'WITHSCORES')
  show('state ' .. state, table.concat(members, ' '))
end
local of_lane = { 'owner', 'failures', 'held_until' }
for _, state in ipairs(states) do
  of_lane[#of_lane + 1] = state
end
for _, lane in ipairs(all_lanes) do
  local parts = {}
  local packed = redis.call('HGET', KEYS[1] .. ':gateway', lane)
  local known = packed and cmsgpack.unpack(packed) or {}
  for _, name in ipairs(of_lane) do
    local value = worded(known[name])
    -- A hold that is over may be forgotten any time.
    local over = name == 'held_until' and tonumber(value or 0) <= tonumber(now)
    if value and value ~= '0' and not over then parts[#parts + 1] = name .. '=' .. value end
  end
  show('lane ' .. lane, table.concat(parts, ' '))
end
local paused = redis.call('HKEYS', KEYS[1] .. ':paused')
table.sort(paused)
show('paused', table.concat(paused, ' '))

local FIELDS_OF_AGENTS = {
  'seq',
  'job',
  'generation',
  'observed',
  'phase',
  'since',
  'gone',
  'desired',
  'token',
  'f',
  'r',
  'w',
  'p',
}
local function record_text(name, record, fields)
  local parts = { name }
  for _, field in ipairs(fields) do
    if record[field] then parts[#parts + 1] = field .. '=' .. worded(record[field]) end
  end
  return table.concat(parts, ' ')
end
-- A number of which 0 stands for none, and others are 1 more.
local function optional(number) return number > 0 and number - 1 or nil end
local function agent_of_text(packed)
  local seq, generation, observed, phase, since = struct.unpack('<I6I8I6BI6', packed)
  local record = { seq = seq, generation = optional(generation) }
  record.observed = observed > 0 and observed or nil
  record.phase = ({ 'deleting', 'deleted', 'deleting' })[phase]
  record.since, record.gone = optional(since), phase == 3 and 'yes' or nil
  for letter, id in packed:sub(28):gmatch('(%l)(' .. ('.'):rep(36) .. ')') do
    record[({ j = 'job', d = 'desired', t = 'token' })[letter] or letter] = id
  end
  return record
end
local function connection_of_text(packed)
  local seq, revision = struct.unpack('<I6I8I6I6', packed)
  local fingerprint = packed:match('^%x*', 63)
  return {
    seq = seq,
    revision = optional(revision),
    document = packed:sub(27, 62),
    fingerprint = fingerprint ~= '' and fingerprint or nil,
  }
end
local records = {}
local all_agents, all_connections =
  redis.call('HGETALL', KEYS[1] .. ':agents'), redis.call('HGETALL', KEYS[1] .. ':connections')
local scores, listed_agents = { deleting = '0', deleted = '2' }, {}
for _, lane in ipairs(all_lanes) do
  local found = redis.call('ZRANGE', KEYS[1] .. ':agents:' .. lane, 0, -1, 'WITHSCORES')
  for i = 1, #found, 2 do
    listed_agents[lane .. '/' .. found[i]] = found[i + 1]
  end
end
for i = 1, #all_agents, 2 do
  local subject, record = all_agents[i], agent_of_text(all_agents[i + 1])
  records[#records + 1] = record_text(subject, record, FIELDS_OF_AGENTS)
  local phase = record.phase
  if listed_agents[subject] ~= (scores[phase] or '1') then records[#records] = 'listed wrongly' end
  listed_agents[subject] = nil
end
for subject in pairs(listed_agents) do
  records[#records + 1] = 'listed without a record: ' .. subject
end
for i = 1, #all_connections, 2 do
  records[#records + 1] = record_text(
    all_connections[i],
    connection_of_text(all_connections[i + 1]),
    { 'seq', 'document', 'revision', 'fingerprint' }
  )
end
for _, lane in ipairs(all_lanes) do
  local heartbeats = redis.call('HGETALL', KEYS[1] .. ':heartbeats:' .. lane)
  for i = 1, #heartbeats, 2 do
    records[#records + 1] = lane .. '/' .. heartbeats[i] .. ' ' .. heartbeats[i + 1]
  end
end
local applied = redis.call('HGETALL', KEYS[1] .. ':applied')
for i = 1, #applied, 2 do
  records[#records + 1] = applied[i] .. ' ' .. applied[i + 1]
end
table.sort(records)
show('records', table.concat(records, '\n'))

local all_groups = redis.call('ZRANGE', KEYS[1] .. ':groups', 0, -1)
table.sort(all_groups)
for i, group in ipairs(all_groups) do
  local known = cmsgpack.unpack(redis.call('HGET', KEYS[1] .. ':failures', group))
  all_groups[i] = string.format(
    '%s %.0f since %.0f',
    group,
    redis.call('ZCARD', KEYS[1] .. ':group:' .. group),
    known.first_at
  )
end
show('groups', table.concat(all_groups, '\n'))

show('expiry', table.concat(redis.call('ZRANGE', KEYS[1] .. ':expiry', 0, -1), ' '))
local woken = {}
for _, name in ipairs(names) do
  if redis.call('EXISTS', KEYS[1] .. ':' .. name) == 1 then woken[#woken + 1] = name end
end
show('wakes', table.concat(woken, ' '))

local FIELDS = {
  'state',
  'kind',
  'lane',
  'subject',
  'attempts',
  'max_attempts',
  'runs',
  'lost',
  'enqueued_at',
  'next_at',
  'started_at',
  'finished_at',
  'snoozed_since',
  'worker',
  'reason',
  'superseded_by',
  'priority',
  'expires_at',
  'cancel',
  'snoozed_by',
  'before',
  'idempotency_key',
  'timeline',
  'failure',
  'group',
}
for _, id in ipairs(ids) do
  local job, words = read(id) or {}, {}
  if job.state then
    job.timeline = job.timeline or plain_timeline(job)
    job.finished_at = ENDED[job.state] and job.since or nil
  end
  for _, name in ipairs(FIELDS) do
    local value = worded(job[name])
    if name == 'failure' and value then value = cjson.decode(value).code end
    if value and value ~= '' then words[#words + 1] = name .. '=' .. value .. '\n' end
  end
  show('job ' .. id, table.concat(words), function()
    local runs = {}
    for json in (out_of(id):match('\n(.*)$') or ''):gmatch('[^\n]+') do
      local run = cjson.decode(json)
      runs[#runs + 1] = string.format(
        'run %.0f %s %.0f %.0f %s\n',
        run.number,
        run.worker,
        run.started_at_ms,
        run.ended_at_ms,
        run.result.outcome
      )
    end
    return table.concat(runs)
  end)
end

local events = {}
for _, entry in ipairs(redis.call('XRANGE', KEYS[1] .. ':events', '-', '+')) do
  events[#events + 1] = entry[2][2]
end
redis.call('XTRIM', KEYS[1] .. ':events', 'MAXLEN', 0)
return { changed, events }
