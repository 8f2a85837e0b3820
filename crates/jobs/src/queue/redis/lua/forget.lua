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
