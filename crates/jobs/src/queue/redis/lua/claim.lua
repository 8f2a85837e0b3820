-- Makes due jobs ready, ends expired jobs, takes back lost leases, removes old jobs, and gives a
-- worker up to n jobs.
-- KEYS  1 the queue's prefix
-- ARGV  1 worker  2 n, may be 0  3 lease in ms  4 most jobs of a lane at once
--       5, 6 how long (in ms) and how many done, superseded and cancelled jobs are kept
--       7, 8 the same for dead jobs  9 how many runs the worker holds  10 how many it may hold, or
--       0 if that does not matter  11 how many of its runs were unproven when it took them
-- Returns {jobs, ms until there may be more to do or -1, leases taken back, 1 if the worker is to
--   take nothing until all its runs have ended}; a job is {id, head, ms that it was ready, the record
--   of its agent or empty, the newest heartbeat of its agent (number and JSON, or empty), the record
--   of the connection of its gateway or empty, what was last applied
--   to its agent (JSON, or empty), 1 if its gateway is unproven}, and if it is not plain also {kind,
--   version, failures of the lane in a row, ms until it expires or -1, token of the job whose run
--   this one shares or empty, its effects on its gateway so far (JSON, or empty), 1 if its latest run
--   lost its worker}.
-- Cost  at most 48 jobs that are due or expired, and 24 that are lost, 24 lanes and 24 subjects
--   that may continue, 20 jobs that another connection sets free, 64 old jobs; n + 31 jobs taken
--   and 100 candidates; about 6 commands each; one command for each of at most 128 jobs that are to
--   run alone. Once a minute some hundred more, which add up the counters of minutes.

local worker, wanted, lease, lane_limit =
  ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local held, SPARE, GROUP = tonumber(ARGV[9]), 100, 32
if wanted > 0 then MYSELF = worker end
begin_plain('ready', 'running', text(NOW + lease), worker)

-- The lane whose turn it is, and which rotation it stands in. Looked up in batches: what is offered
-- meanwhile has a later turn.
local turns, rotations, turn = {}, {}, 0
local function look_up(most)
  write_rotations()
  local mine, all = K.own .. worker, K.lanes
  local own = attempt('ZREVRANGE', mine, 0, most - 1, 'WITHSCORES')
  local common = attempt('ZREVRANGE', all, 0, most - 1, 'WITHSCORES')
  local i, j, n = 1, 1, 0
  turns, rotations, turn = {}, {}, 1
  while own[i] or common[j] do
    n = n + 1
    if own[i] and (not common[j] or tonumber(own[i + 1]) > tonumber(common[j + 1])) then
      turns[n], rotations[n], i = own[i], mine, i + 2
    else
      turns[n], rotations[n], j = common[j], all, j + 2
    end
  end
  read_lanes(turns)
end

local function next_lane(most)
  turn = turn + 1
  if turn > #turns then look_up(most) end
  return turns[turn], rotations[turn]
end

local taken = {}

local function take(job, leader)
  local known = gateway(job.lane)
  local token = next_of(K.token)
  local waited = math.max(NOW - job.since, 0)
  meter_time(job, 'wait|', waited)
  job.worker, job.token, job.started_at = worker, token, NOW
  put(job, 'lane_failures', known.failures)
  job.attempts, job.runs = job.attempts + 1, job.runs + 1
  go(job, 'running', NOW + lease)
  known.owner = worker
  if MERGES[job.kind] then known.merging = (known.merging or 0) + 1 end
  taken[#taken + 1] = {
    job = job,
    subject = job.subject,
    lane = job.lane,
    kind = job.kind,
    leader = leader or '',
    waited = waited,
  }
  return token
end

-- Takes a job of a gateway that has not failed by its head, if that is plain. Returns whether it
-- did.
local function take_plain(id, head, lane, known)
  if not head or jobs[id] ~= nil or known.failures then return false end
  local _, _, flags, _, runs, since, _, code = struct.unpack(RUN .. 'B', head)
  local kind, subject = KINDS[code], head:sub(FIXED + 1)
  if not kind or MERGES[kind] or pauses['kind:' .. kind] or runs > 0 then return false end
  local rest = head:sub(UNCHANGED) .. '|' .. worker
  head = pass_on(id, next_of(K.token), flags, NOW, rest, kind, subject)
  known.ready, known.running = less(known.ready), (known.running or 0) + 1
  known.owner = worker
  local waited = math.max(NOW - since, 0)
  local one = { id = id, head = head, subject = subject, lane = lane, kind = kind, waited = waited }
  meter_time(one, 'wait|', waited)
  taken[#taken + 1] = one
  return true
end

-- How many jobs a lane may have running, and whether its gateway is unproven: it has not answered for
-- a while, or not since it could not be reached. One that has failed gives one at a time, until one
-- has reached the gateway.
local function limit_of(known)
  local most, heard = window(known)
  if known.failures then return 1, true end
  return math.min(most, lane_limit), not heard
end

-- What the worker gets of the jobs that it has taken.
local function rows()
  if #taken == 0 then return {} end
  local subjects, their_lanes = {}, {}
  for i, one in ipairs(taken) do
    subjects[i], their_lanes[i] = one.subject, one.lane
  end
  write_records()
  read_agents(subjects)
  local applied = call('HMGET', K.applied, unpack(subjects))
  read_connections(their_lanes)
  local answer = {}
  for i, one in ipairs(taken) do
    local job, known = one.job, gateway(one.lane)
    local about_agent = not MERGES[one.kind]
    local heartbeat = about_agent
      and known.synced
      and attempt('HGET', K.heartbeats .. one.lane, agent_of(one.subject))
    answer[i] = {
      one.id or job.id,
      one.head or (encode(job)),
      one.waited,
      packed_agents[one.subject] or '',
      heartbeat or '',
      packed_connections[one.lane] or '',
      about_agent and one.kind ~= 'cleanup' and applied[i] or '',
      select(2, limit_of(known)) and 1 or 0,
      job and {
        job.kind,
        job.version or '1',
        known.failures or 0,
        job.expires_at and math.max(job.expires_at - NOW, 0) or -1,
        one.leader,
        job.effects or '',
        job.lost and 1 or 0,
      },
    }
  end
  return answer
end

-- Jobs right behind one that can share its run. A run that lost its worker is not shared: it may be
-- what killed it. Nor is one after a shared run that failed: it may be why.
local function take_group(job, token)
  if not MERGES[job.kind] or job.lost or job.apart then return end
  local is_behind, members = false, 1
  for _, id in ipairs(line_ids(job.subject, 0, LINE - 1)) do
    local next = is_behind and members < GROUP and read(id)
    if is_behind then
      if not next or next.state ~= 'ready' or next.kind ~= job.kind then return end
      if next.lost or next.apart then return end
      withdraw(next)
      take(next, token)
      members = members + 1
    end
    is_behind = is_behind or id == job.id
  end
end

-- Takes the first job that a lane has offered, if it may run now. Returns whether it did, and whether
-- there may be more.
local function take_offered(lane, first)
  local id, took = first:sub(1, 36), false
  local job = read(id)
  -- An older one may have become ready since.
  if job and MERGES[job.kind] then
    job = first_ready(job.subject) or job
    withdraw(job)
  end
  if not job then
    -- The job was removed by hand: on to the next of its subject.
    local subject = first:sub(37)
    leave_line(subject, id)
    offer(subject)
  elseif job.state == 'ready' and pauses['kind:' .. job.kind] then
    attempt('ZADD', K.parked .. job.kind, rank(job), job.subject)
  elseif MERGES[job.kind] and (gateway(lane).merging or job.lost) then
    -- It is offered again when the run has ended, or runs alone.
    offer(job.subject)
  elseif job.state == 'ready' then
    take_group(job, take(job))
    took = true
  end
  return took, gateway(lane).ready or call('EXISTS', K.lane .. lane) == 1
end

-- Takes the job of the turn once nothing else runs. Returns whether it is this worker's turn.
local function run_alone()
  if turn_alone.worker ~= worker then return false end
  local job = not turn_alone.token and wanted > 0 and held == 0 and read(turn_alone.id)
  if job and not gateway(job.lane).running then
    call('ZREM', K.suspects, offered_as(job))
    write_rotations()
    leave_rotation(K.lanes, job.lane)
    turn_alone.token = take(job)
    save_alone(turn_alone)
  end
  return true
end

read_pauses()
local more_to_do, recovered = upkeep(lease, {
  age = tonumber(ARGV[5]),
  most = tonumber(ARGV[6]),
  dead_age = tonumber(ARGV[7]),
  most_dead = tonumber(ARGV[8]),
})

read_turn()
check_turn(worker, wanted, lease)
local rest = turn_alone.rest or 0
local has_rested = rest <= NOW or rest > NOW + REST
if not turn_alone.id and wanted > 0 and has_rested then stand_aside(worker, lease) end
local aside = run_alone()

-- The last slots of a worker are kept for lanes that run nothing yet, or not much and whose gateway
-- answers, so that gateways that do not answer never take all of them. The very last one is for a
-- lane that is not unproven.
local RECENT, NOT_MUCH, RETRY, slots = 10000, 4, 1000, tonumber(ARGV[10])
local unreserved = wanted
if slots >= 4 then unreserved = slots - held - math.max(1, math.floor(slots / 10)) end
local function may_have_reserve(known, is_new, runs)
  if not known.running then return runs < slots - held - 1 or not is_new end
  return known.running < math.max(NOT_MUCH, slots / 8)
    and known.heard_at
    and NOW - known.heard_at < RECENT
end
-- Gateways that may never answer get no more than half of the slots together, and second slots only
-- within half of these, so that they leave some to each other.
local unproven, most_unproven = tonumber(ARGV[11]), slots > 0 and math.ceil(slots / 2) or math.huge
local function may_prove(known, runs)
  return runs < (known.running and most_unproven / 2 or most_unproven)
end
-- The lanes that could not have a slot, and their rotations. They are looked at again after `RETRY`,
-- or after `SOON` if there are more lanes than one call looks at.
local passed_over, SOON = {}, 50

local places = (pauses.all or aside) and 0 or wanted
local candidates = places > 0 and places + SPARE or 0

-- A lane that may give no job is dropped from the rotation: what changes that offers it again.
local function may_give(lane, known, limit)
  return not pauses['gateway:' .. lane]
    and turn_alone.lane ~= lane
    and (known.held_until or 0) <= NOW
    and (known.running or 0) < limit
end

-- The first jobs of the lanes whose turns come next, one of each lane and at most `places`.
local function next_offered()
  local found, new = {}, 0
  while #found < places and candidates > 0 do
    local lane, rotation = next_lane(places)
    if not lane then break end
    local known = gateway(lane)
    local limit, is_new = limit_of(known)
    if new > 0 and is_new and not may_prove(known, unproven + new) then
      -- Those that were found may not run, which leaves it their part.
      turn = turn - 1
      break
    end
    served[rotation] = (served[rotation] or 0) + 1
    candidates = candidates - 1
    if may_give(lane, known, limit) then
      if
        is_new and not may_prove(known, unproven + new)
        or wanted - places + #found >= unreserved
          and not may_have_reserve(known, is_new, wanted - places + #found)
      then
        passed_over[#passed_over + 1] = { lane = lane, rotation = rotation }
      else
        local first = (attempt('ZPOPMIN', K.lane .. lane) or {})[1]
        if first then
          found[#found + 1] =
            { lane = lane, known = known, first = first, limit = limit, is_new = is_new }
          if is_new then new = new + 1 end
        end
      end
    end
  end
  return found
end

while places > 0 do
  local found, ids = next_offered(), {}
  if #found == 0 then break end
  for i, one in ipairs(found) do
    ids[i] = one.first:sub(1, 36)
  end
  local heads, others = call('HMGET', K.job, unpack(ids)), {}
  for i, id in ipairs(ids) do
    if not is_plain(heads[i], 'ready') then
      heads[i], others[#others + 1] = false, id
    end
  end
  read_all(others)
  for i, one in ipairs(found) do
    local known = one.known
    local took, more = take_plain(ids[i], heads[i], one.lane, known), known.ready
    if not took then
      took, more = take_offered(one.lane, one.first)
    end
    if took then places = places - 1 end
    if took and one.is_new then unproven = unproven + 1 end
    if more and (known.running or 0) < one.limit then offer_lane(one.lane) end
  end
end
for _, one in ipairs(passed_over) do
  join_rotation(one.rotation, one.lane)
end

-- There is nothing else to do.
if #taken == 0 and places > 0 and held == 0 and not turn_alone.id and not has_rested then
  stand_aside(worker, lease)
  aside = run_alone()
end

write_states()
write_rotations()

local idle_lanes = places > 0
  and attempt('ZCARD', K.lanes) + attempt('ZCARD', K.own .. worker) > #passed_over

-- How long a worker without anything to do may sleep, in ms; -1 for ever.
local function nap()
  if more_to_do then return 0 end
  local wait = -1
  local function until_first(key)
    local first = tonumber(call('ZRANGE', key, 0, 0, 'WITHSCORES')[2])
    if first and (wait < 0 or first - NOW < wait) then wait = math.max(0, first - NOW) end
  end
  if #passed_over > 0 then wait = idle_lanes and SOON or RETRY end
  until_first(K.held)
  until_first(K.expiry)
  for _, state in ipairs(WAITS) do
    until_first(K.state .. state)
  end
  return wait
end

-- Others may be idle while this worker cannot take more.
if places == 0 and not pauses.all and call('EXISTS', K.lanes) == 1 then wake() end
-- Who was given something looks again before it sleeps.
local again = #taken > 0 or idle_lanes and #passed_over == 0
return { rows(), again and 0 or nap(), recovered, aside and 1 or 0 }
