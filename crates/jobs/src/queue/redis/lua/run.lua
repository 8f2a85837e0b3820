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
