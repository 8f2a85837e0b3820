-- What of a queue has changed since this was last asked. KEYS 1 prefix; ARGV states, '', lanes, '',
-- keys that wake, '', ids of jobs. Returns names and texts of the changed parts, flat, then the
-- events since then.
local changed = {}
local function show(part, text, rest)
  if redis.call('HGET', KEYS[1] .. ':test-shown', part) == text then return end
  redis.call('HSET', KEYS[1] .. ':test-shown', part, text)
  changed[#changed + 1] = part
  changed[#changed + 1] = text .. (rest and rest() or '')
end

local function text(value)
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
local states, lanes, names, ids = unpack(lists)

for _, state in ipairs(states) do
  local jobs = redis.call('ZRANGE', KEYS[1] .. ':state:' .. state, 0, -1, 'WITHSCORES')
  show('state ' .. state, table.concat(jobs, ' '))
end
local of_lane = { 'owner', 'failures', 'held_until' }
for _, state in ipairs(states) do
  of_lane[#of_lane + 1] = state
end
for _, lane in ipairs(lanes) do
  local parts = {}
  local packed = redis.call('HGET', KEYS[1] .. ':gateway', lane)
  local known = packed and cmsgpack.unpack(packed) or {}
  for _, name in ipairs(of_lane) do
    local value = text(known[name])
    -- A hold that is over may be forgotten any time.
    local over = name == 'held_until' and tonumber(value or 0) <= tonumber(now)
    if value and value ~= '0' and not over then parts[#parts + 1] = name .. '=' .. value end
  end
  show('lane ' .. lane, table.concat(parts, ' '))
end
local paused = redis.call('HKEYS', KEYS[1] .. ':paused')
table.sort(paused)
show('paused', table.concat(paused, ' '))

local FIELDS_OF_AGENTS =
  { 'seq', 'job', 'generation', 'observed', 'phase', 'desired', 'token', 'f', 'r', 'w', 'p' }
local function record_text(name, packed, fields)
  local record, parts = cmsgpack.unpack(packed), { name }
  for _, field in ipairs(fields) do
    if record[field] then parts[#parts + 1] = field .. '=' .. text(record[field]) end
  end
  return table.concat(parts, ' ')
end
local records = {}
local agents, connections =
  redis.call('HGETALL', KEYS[1] .. ':agents'), redis.call('HGETALL', KEYS[1] .. ':connections')
local PHASES, listed = { deleting = '0', deleted = '2' }, {}
for _, lane in ipairs(lanes) do
  local found = redis.call('ZRANGE', KEYS[1] .. ':agents:' .. lane, 0, -1, 'WITHSCORES')
  for i = 1, #found, 2 do
    listed[lane .. '/' .. found[i]] = found[i + 1]
  end
end
for i = 1, #agents, 2 do
  records[#records + 1] = record_text(agents[i], agents[i + 1], FIELDS_OF_AGENTS)
  local phase = cmsgpack.unpack(agents[i + 1]).phase
  if listed[agents[i]] ~= (PHASES[phase] or '1') then records[#records] = 'listed wrongly' end
  listed[agents[i]] = nil
end
for subject in pairs(listed) do
  records[#records + 1] = 'listed without a record: ' .. subject
end
for i = 1, #connections, 2 do
  records[#records + 1] = record_text(
    connections[i],
    connections[i + 1],
    { 'seq', 'document', 'revision', 'fingerprint' }
  )
end
for _, lane in ipairs(lanes) do
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

local groups = redis.call('ZRANGE', KEYS[1] .. ':groups', 0, -1)
table.sort(groups)
for i, group in ipairs(groups) do
  local known = cmsgpack.unpack(redis.call('HGET', KEYS[1] .. ':failures', group))
  groups[i] = string.format(
    '%s %.0f since %.0f',
    group,
    redis.call('ZCARD', KEYS[1] .. ':group:' .. group),
    known.first_at
  )
end
show('groups', table.concat(groups, '\n'))

show('expiry', table.concat(redis.call('ZRANGE', KEYS[1] .. ':expiry', 0, -1), ' '))
local wakes = {}
for _, name in ipairs(names) do
  if redis.call('EXISTS', KEYS[1] .. ':' .. name) == 1 then wakes[#wakes + 1] = name end
end
show('wakes', table.concat(wakes, ' '))

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
  local packed, history = unpack(redis.call('HMGET', KEYS[1] .. ':job:' .. id, 'job', 'history'))
  local job, lines = packed and cmsgpack.unpack(packed) or {}, {}
  for _, name in ipairs(FIELDS) do
    local value = text(job[name])
    if name == 'failure' and value then value = cjson.decode(value).code end
    if value and value ~= '' then lines[#lines + 1] = name .. '=' .. value .. '\n' end
  end
  show('job ' .. id, table.concat(lines), function()
    local runs = {}
    for json in (history or ''):gmatch('[^\n]+') do
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
