-- Makes due jobs ready, ends expired jobs, takes back lost leases, removes old jobs, and gives a
-- worker up to n jobs.
-- KEYS  1 the queue's prefix
-- ARGV  1 worker  2 n, may be 0  3 lease in ms  4 most jobs of a lane at once
--       5, 6 how long (in ms) and how many done, superseded and cancelled jobs are kept
--       7, 8 the same for dead jobs  9 how many runs the worker holds  10 how many it may hold, or
--       0 if that does not matter  11 how many of its runs were unproven when it took them
-- Returns {jobs, ms until there may be more to do or -1, leases taken back, 1 if the worker is to
--   take nothing until all its runs have ended}; a job is {id, token, version, kind, lane, attempt,
--   max attempts, run, enqueued at, failures of the lane in a row, ms until it expires or -1, token
--   of the job whose run this one shares or empty, ms that
--   it was ready, its effects on its gateway so far (JSON, or empty), 1 if its latest run lost its
--   worker, its number, the record of its agent (MessagePack, or empty), the newest heartbeat of
--   its agent (number and JSON, or empty), the job whose document has the connection of the gateway
--   or empty, what was last applied to its agent (JSON, or empty), 1 if its gateway is unproven}.
-- Cost  at most 48 jobs that are due or expired, and 24 that are lost, 24 lanes and 24 subjects
--   that may continue, 20 jobs that another connection sets free, 64 old jobs; n + 31 jobs taken
--   and 100 candidates; about 6 commands each; one command for each of at most 128 jobs that are to
--   run alone. Once a minute some hundred more, which add up the counters of minutes.

local worker, wanted, lease, lane_limit =
  ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local SPARE, POISON, GROUP = 100, 3, 32
local HOURS_KEPT = 8 * 86400000
local more_to_do = false
if wanted > 0 then MYSELF = worker end

-- How much a call does of one thing, and how much it leaves to each of those that come `after` it
-- and share with it, so that none of them waits for a backlog of another.
local STEP, RESERVED = 24, 4
local function share(budget, step, after) return math.min(step, budget - RESERVED * after) end

-- The first members of a sorted set up to NOW.
local function due(key, most)
  local found = call('ZRANGEBYSCORE', key, '-inf', NOW, 'LIMIT', 0, most)
  if #found >= most then more_to_do = true end
  return found
end

-- The states that jobs wait in, in the order in which those that are due leave them.
local WAITS = { 'scheduled', 'retrying', 'snoozed', 'blocked' }
local to_make_due = 48
local function its_time(key, after)
  local found = due(key, share(to_make_due, STEP, after))
  to_make_due = to_make_due - #found
  return found
end

local function promote(from, after)
  local found = its_time(K.state .. from, after)
  read_all(found)
  for _, id in ipairs(found) do
    local job = read(id)
    if not job or job.state ~= from then
      -- The job was removed by hand: nothing is left to run.
      call('ZREM', K.state .. from, id)
    elseif from == 'scheduled' then
      call('ZREM', K.later .. job.subject, id)
      arrive(job)
    else
      go(job, 'ready')
      offer(job.subject)
    end
  end
end

local function expire()
  for _, id in ipairs(its_time(K.expiry, #WAITS)) do
    local job = read(id)
    call('ZREM', K.expiry, id)
    -- A running one is stopped by its worker, or does not wait again.
    if job and (job.state == 'ready' or WAITING[job.state]) then
      go(job, 'dead', NOW, {
        reason = 'expired',
        failure = cjson.encode({
          code = 'expired',
          message = 'The job was not done before it expired.',
          action = 'check whether the job is still wanted',
          remedy = { actor = 'backend', retry_helps = false },
        }),
      })
      offer(job.subject)
    end
  end
end

-- Whether a worker has sent a heartbeat later than one that was killed can have: such a worker lost
-- a lease because it could not write the end of a run.
local function is_alive(name)
  -- A clock that was set back must not make a heartbeat count for long.
  return math.abs(NOW - (tonumber(call('ZSCORE', K.beats, name)) or 0)) < lease / 2
end

-- The worker went away. The run counts, and the job is a suspect: from now on it runs alone. One
-- that takes three workers along while it runs alone is poison.
local recovered = 0
local function lose(job)
  recovered = recovered + 1
  local lost, last = job.lost, nil
  if not is_alive(job.worker or '') then lost = (lost or 0) + 1 end
  local failure = {
    code = 'lease_lost',
    message = 'Worker '
      .. (job.worker or '?')
      .. ' stopped renewing its lease: it was killed, froze or lost Redis.',
  }
  if lost and lost > POISON then
    last = 'poison'
    failure = {
      code = 'poison',
      message = 'The job lost its worker ' .. POISON .. ' times in a row while it ran alone.',
      action = "look in the workers' logs for why they ended",
      remedy = { actor = 'worker', retry_helps = true },
    }
  elseif job.attempts >= job.max_attempts then
    last = 'attempts'
  end
  note(job, cjson.encode({ outcome = 'lost', code = failure.code, message = failure.message }))
  meter(job, 'lost')
  put(job, 'lost', lost)
  job.token = nil
  if last and not job.cancel then
    go(job, 'dead', NOW, { reason = last, failure = cjson.encode(failure) })
  else
    wait_again(job, 'ready', NOW, cjson.encode(failure))
  end
  leave(job)
end

-- Adds the minutes that are over to their quarters and hours: so counting costs nothing more.
local function add_up(rolled)
  local last = math.floor(NOW / 60000) - 1
  if rolled >= last then
    -- A clock that was set back far must not make this stop.
    if rolled > last + 120 then call('SET', K.rolled, last) end
    return
  end
  local minute, full = math.max(rolled, last - MINUTES_KEPT / 60000), 0
  while minute < last and full < 3 do
    minute = minute + 1
    local counters = call('HGETALL', K.minute .. minute)
    if #counters > 0 then
      full = full + 1
      local quarter, hour = K.quarter .. math.floor(minute / 15), K.hour .. math.floor(minute / 60)
      for i = 1, #counters, 2 do
        call('HINCRBY', quarter, counters[i], counters[i + 1])
        call('HINCRBY', hour, counters[i], counters[i + 1])
      end
      call('PEXPIRE', quarter, MINUTES_KEPT)
      call('PEXPIRE', hour, HOURS_KEPT)
    end
  end
  call('SET', K.rolled, minute)
end

-- Agents that were cleaned up are remembered for a day, so that an older job does not bring them
-- back; that there was a newer job, for as long as a dead one can be retried.
local DAY = 86400000
local function forget_agents()
  local function long_ago(key, age)
    return call('ZRANGEBYSCORE', key, '-inf', NOW - age, 'LIMIT', 0, STEP)
  end
  for _, subject in ipairs(long_ago(K.deleted, DAY)) do
    local record = agent_record(subject)
    if record and record.phase == 'deleted' then
      drop_agent(subject:match('^[^/]*'), subject)
      call('ZADD', K.remembered, NOW, subject)
    end
    call('ZREM', K.deleted, subject)
  end
  for _, subject in ipairs(long_ago(K.remembered, 30 * DAY)) do
    forget_line(subject)
    call('ZREM', K.remembered, subject)
  end
end

-- When nobody has looked for half a lease, Redis was away or all workers were. Those that are still
-- there get time to renew before their leases are taken back.
local alone_packed
local function sweep()
  local pulse, calm, rolled, turn_alone = unpack(call('MGET', K.pulse, K.calm, K.rolled, K.alone))
  alone_packed = turn_alone or ''
  call('SET', K.pulse, NOW)
  add_up(tonumber(rolled or 0))
  forget_agents()
  if free_more() then more_to_do = true end
  calm = tonumber(calm or 0)
  if math.abs(NOW - tonumber(pulse or NOW)) > lease / 2 then
    calm = NOW + math.ceil(lease / 2)
    call('SET', K.calm, calm)
  end
  -- A clock that was set back must not make this last.
  if calm > NOW and calm <= NOW + lease then return end
  for _, id in ipairs(due(K.state .. 'running', STEP)) do
    local job = read(id)
    if job and job.state == 'running' then
      lose(job)
    else
      call('ZREM', K.state .. 'running', id)
    end
  end
end

-- Lanes whose time of being left alone is over.
local function release_lanes()
  for _, lane in ipairs(due(K.held, STEP)) do
    call('ZREM', K.held, lane)
    -- A clock that is set back must not make it count again.
    gateway(lane).held_until = nil
    if call('EXISTS', K.lane .. lane) == 1 then offer_lane(lane) end
  end
end

-- As many as may be taken in one call, so that removing keeps up with ending.
local OLD, to_prune = 32, 64
local function prune(state, age, most, after)
  local key, room = K.state .. state, share(to_prune, OLD, after)
  local count = call('ZCARD', key)
  if count == 0 then return end
  local excess = math.min(count - most, room)
  local old = excess > 0 and call('ZRANGE', key, 0, excess - 1)
    or call('ZRANGEBYSCORE', key, '-inf', NOW - age, 'LIMIT', 0, room)
  to_prune = to_prune - #old
  if #old == 0 then return end
  local gone = {}
  read_all(old)
  for _, id in ipairs(old) do
    local job = read(id)
    if job then
      local known = gateway(job.lane)
      known[state] = less(known[state])
      if job.group then leave_group(job) end
    end
    -- A cleanup that was never done keeps its agent from being written no longer than it is kept.
    if job and job.kind == 'cleanup' then withdraw_document(job) end
    if job and not is_needed(job.lane, job.subject, id) then
      gone[job.lane] = gone[job.lane] or {}
      table.insert(gone[job.lane], id)
    end
    jobs[id], unsaved[id], outs[id] = false, nil, nil
  end
  call('ZREM', key, unpack(old))
  for _, part in ipairs({ K.job, K.more, K.out }) do
    call('HDEL', part, unpack(old))
  end
  for lane, ids in pairs(gone) do
    attempt('HDEL', K.document .. lane, unpack(ids))
  end
end

-- What is paused: scopes as keys.
local paused = {}
for _, scope in ipairs(call('HKEYS', K.paused)) do
  paused[scope] = true
end

-- Offers a ready job of which neither its lane nor the rotation knows any more. Jobs that merge are
-- left to the next one that comes or ends, unless the lane offers nothing.
local function offer_again(job)
  local known, lane = gateway(job.lane), job.lane
  if paused['kind:' .. job.kind] or line_ids(job.subject, 0, 0)[1] ~= job.id then return end
  if MERGES[job.kind] then
    local offers = job.lost or known.merging or call('EXISTS', K.lane .. lane) == 1
    if not offers then offer(job.subject) end
  elseif not call('ZSCORE', job.lost and K.suspects or K.lane .. lane, offered_as(job)) then
    offer_job(job)
  elseif not (job.lost or known.running or call('ZSCORE', K.lanes, lane)) then
    offer_lane(lane)
  end
end

-- Heals what keys that were removed by hand, or scripts that Redis has stopped half-way, have left: a
-- job that is missing in the list of its state or in its line, one that could run but is not offered,
-- and a lane that belongs to a worker without running anything. A call looks at some jobs every few
-- seconds, so that all have their turn.
local HEALING, LOOKED_AT = 5000, 100
local function heal()
  local at, cursor = (call('GET', K.healed) or ''):match('^(%d+) (%d+)$')
  if at and math.abs(NOW - at) < HEALING then return end
  local next_cursor, found = unpack(call('HSCAN', K.job, cursor or '0', 'COUNT', LOOKED_AT))
  call('SET', K.healed, NOW_TEXT .. ' ' .. next_cursor)
  local ids = {}
  for i = 1, #found, 2 do
    ids[#ids + 1] = found[i]
  end
  read_all(ids)
  for _, id in ipairs(ids) do
    local job = read(id)
    if job and not ENDED[job.state] then
      local known, state = gateway(job.lane), job.state
      if known.owner and not known.running and state ~= 'running' then
        leave_rotation(K.own .. known.owner, job.lane)
        known.owner = nil
      end
      if not call('ZSCORE', K.state .. state, id) then
        local till = state == 'running' and NOW + lease or job.next_at or job.since
        call('ZADD', K.state .. state, text(till), id)
      end
      if state ~= 'scheduled' and not is_in_line(job) then add_to_line(job) end
      if state == 'ready' then offer_again(job) end
    end
  end
end

-- Subjects that were put aside because their kind was paused, and is not any more.
local function unpark()
  for _, kind in ipairs(KINDS) do
    if not paused['kind:' .. kind] then
      local aside = call('ZPOPMIN', K.parked .. kind, STEP / 4)
      if #aside > 0 then more_to_do = true end
      for i = 1, #aside, 2 do
        offer(aside[i])
      end
    end
  end
end

-- The lane whose turn it is, and which rotation it stands in. Looked up in batches: what is offered
-- meanwhile has a later turn.
local turns, rotations, turn = {}, {}, 0
local function look_up(most)
  write_rotations()
  local mine, all = K.own .. worker, K.lanes
  local own = call('ZREVRANGE', mine, 0, most - 1, 'WITHSCORES')
  local common = call('ZREVRANGE', all, 0, most - 1, 'WITHSCORES')
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
  taken[#taken + 1] = { job = job, leader = leader or '', waited = waited }
  return token
end

-- Whether the gateway of a lane has not answered for a while, or not since it could not be reached.
local function is_unproven(known)
  local _, heard = window(known)
  return known.failures ~= nil or not heard
end

-- What the worker gets of the jobs that it has taken.
local function rows()
  if #taken == 0 then return {} end
  local subjects, their_lanes = {}, {}
  for i, one in ipairs(taken) do
    subjects[i], their_lanes[i] = one.job.subject, one.job.lane
  end
  write_records()
  local records = call('HMGET', K.agents, unpack(subjects))
  local applied = call('HMGET', K.applied, unpack(subjects))
  read_connections(their_lanes)
  local answer = {}
  for i, one in ipairs(taken) do
    local job, known = one.job, gateway(one.job.lane)
    local about_agent = not MERGES[job.kind]
    local in_force = connection(job.lane)
    local heartbeat = about_agent
      and known.synced
      and call('HGET', K.heartbeats .. job.lane, agent_of(job.subject))
    answer[i] = {
      job.id,
      job.token,
      job.version or '1',
      job.kind,
      job.lane,
      job.attempts,
      job.max_attempts,
      job.runs,
      job.enqueued_at,
      known.failures or 0,
      job.expires_at and math.max(job.expires_at - NOW, 0) or -1,
      one.leader,
      one.waited,
      job.effects or '',
      job.lost and 1 or 0,
      job.seq,
      records[i] or '',
      heartbeat or '',
      in_force and in_force.document or '',
      about_agent and job.kind ~= 'cleanup' and applied[i] or '',
      is_unproven(known) and 1 or 0,
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
  elseif job.state == 'ready' and paused['kind:' .. job.kind] then
    call('ZADD', K.parked .. job.kind, rank(job), job.subject)
  elseif MERGES[job.kind] and (gateway(lane).merging or job.lost) then
    -- It is offered again when the run has ended, or runs alone.
    offer(job.subject)
  elseif job.state == 'ready' then
    take_group(job, take(job))
    took = true
  end
  return took, gateway(lane).ready or call('EXISTS', K.lane .. lane) == 1
end

-- Jobs that run alone -----------------------------------------------------------------------------

-- A job that lost its worker may have killed it, or only have run beside the one that did. It runs
-- in a worker that runs nothing else, and takes nothing else until that run has ended. One worker
-- of the queue at a time does so, and its turn holds the lane of the job free for it. After a turn
-- other jobs have as much time as it took, at most `REST`, before a worker that could take some of
-- them stands aside again.
local SUSPECTS, REST, held = 128, 600000, tonumber(ARGV[9])

-- Whose turn it is to run a job alone: worker, id, lane, since when, until when unless the worker
-- looks again, and the token if the job runs; or only `rest`, the time until which others come
-- first.
local alone
local function read_turn()
  local readable, turn_alone = pcall(cmsgpack.unpack, alone_packed)
  readable = readable and type(turn_alone) == 'table' and (turn_alone.rest or turn_alone.till)
  alone = readable and turn_alone or {}
end

local function save_alone(known)
  alone = known
  call('SET', K.alone, cmsgpack.pack(known))
end

local function may_run_alone(job, by)
  local known = gateway(job.lane)
  return not (paused.all or paused['kind:' .. job.kind] or paused['gateway:' .. job.lane])
    and (known.held_until or 0) <= NOW
    and (not known.running or known.owner == by)
end

-- Whether a job that merges is the next of its line: no other runs, and no older one is ready.
local function comes_next(job)
  return not gateway(job.lane).merging and first_ready(job.subject) == job
end

local function find_suspect()
  for _, waiting in ipairs(call('ZRANGE', K.suspects, 0, SUSPECTS - 1)) do
    local job = read(waiting:sub(1, 36))
    if not job or job.state ~= 'ready' then
      -- The job was removed by hand: on to the next of its subject.
      local subject = waiting:sub(37)
      call('ZREM', K.suspects, waiting)
      if not job then leave_line(subject, waiting:sub(1, 36)) end
      offer(subject)
    elseif may_run_alone(job, worker) and (not MERGES[job.kind] or comes_next(job)) then
      return job
    end
  end
end

-- Gives this worker the turn, if there is a job for it.
local function stand_aside()
  local job = find_suspect()
  if not job then return end
  save_alone({ worker = worker, id = job.id, lane = job.lane, since = NOW, till = NOW + lease })
end

-- Ends the turn if it is over: its run has ended, the job may not run now, or the worker is gone.
-- A clock that was set back must not make it last.
local function check_turn()
  if not alone.id then return end
  local job = read(alone.id)
  local runs = job and job.state == 'running' and job.token == alone.token
  local waits = job
    and job.state == 'ready'
    and not alone.token
    and may_run_alone(job, alone.worker)
  if (runs or waits) and alone.till > NOW and alone.till <= NOW + lease then
    if alone.worker == worker and (runs or wanted > 0) then
      alone.till = NOW + lease
      save_alone(alone)
    end
    return
  end
  local lane = alone.lane
  save_alone({ rest = NOW + math.min(math.max(NOW - alone.since, 0), REST) })
  if call('EXISTS', K.lane .. lane) == 1 then offer_lane(lane) end
end

-- Takes the job of the turn once nothing else runs. Returns whether it is this worker's turn.
local function run_alone()
  if alone.worker ~= worker then return false end
  local job = not alone.token and wanted > 0 and held == 0 and read(alone.id)
  if job and not gateway(job.lane).running then
    call('ZREM', K.suspects, offered_as(job))
    write_rotations()
    leave_rotation(K.lanes, job.lane)
    alone.token = take(job)
    save_alone(alone)
  end
  return true
end

-- First, so that a job that is due and has expired by now does not replace others.
expire()
for i, state in ipairs(WAITS) do
  promote(state, #WAITS - i)
end
sweep()
release_lanes()
unpark()
write_states()
heal()
for i, state in ipairs({ 'done', 'superseded', 'cancelled' }) do
  prune(state, tonumber(ARGV[5]), tonumber(ARGV[6]), 4 - i)
end
prune('dead', tonumber(ARGV[7]), tonumber(ARGV[8]), 0)

read_turn()
check_turn()
local rest = alone.rest or 0
local has_rested = rest <= NOW or rest > NOW + REST
if not alone.id and wanted > 0 and has_rested then stand_aside() end
local aside = run_alone()

-- The last slots of a worker are kept for lanes that run nothing yet, or not much and whose gateway
-- answers, so that gateways that do not answer never take all of them. The very last one is for a
-- lane that is not unproven.
local RECENT, NOT_MUCH, RETRY, slots = 10000, 4, 1000, tonumber(ARGV[10])
local unreserved = wanted
if slots >= 4 then unreserved = slots - held - math.max(1, math.floor(slots / 10)) end
local function may_have_reserve(known, runs)
  if not known.running then return runs < slots - held - 1 or not is_unproven(known) end
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

local places = (paused.all or aside) and 0 or wanted
local candidates = places > 0 and places + SPARE or 0

-- How many jobs a lane may have running. One that has failed gives one at a time, until one has
-- reached the gateway.
local function limit_of(known) return known.failures and 1 or math.min(window(known), lane_limit) end

-- A lane that may give no job is dropped from the rotation: what changes that offers it again.
local function may_give(lane, known)
  return not paused['gateway:' .. lane]
    and alone.lane ~= lane
    and (known.held_until or 0) <= NOW
    and (known.running or 0) < limit_of(known)
end

-- The first jobs of the lanes whose turns come next, one of each lane and at most `places`.
local function next_offered()
  local found, new = {}, 0
  while #found < places and candidates > 0 do
    local lane, rotation = next_lane(places)
    if not lane then break end
    local known = gateway(lane)
    if new > 0 and is_unproven(known) and not may_prove(known, unproven + new) then
      -- Those that were found may not run, which leaves it their part.
      turn = turn - 1
      break
    end
    served[rotation] = (served[rotation] or 0) + 1
    candidates = candidates - 1
    if may_give(lane, known) then
      local is_new = is_unproven(known)
      if
        is_new and not may_prove(known, unproven + new)
        or wanted - places + #found >= unreserved
          and not may_have_reserve(known, wanted - places + #found)
      then
        passed_over[#passed_over + 1] = { lane = lane, rotation = rotation }
      else
        local first = (attempt('ZPOPMIN', K.lane .. lane) or {})[1]
        if first then
          found[#found + 1] = { lane = lane, first = first }
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
  read_all(ids)
  for _, one in ipairs(found) do
    local took, more = take_offered(one.lane, one.first)
    local known = gateway(one.lane)
    if took then places = places - 1 end
    if took and is_unproven(known) then unproven = unproven + 1 end
    if more and (known.running or 0) < limit_of(known) then offer_lane(one.lane) end
  end
end
for _, one in ipairs(passed_over) do
  join_rotation(one.rotation, one.lane)
end

-- There is nothing else to do.
if #taken == 0 and places > 0 and held == 0 and not alone.id and not has_rested then
  stand_aside()
  aside = run_alone()
end

write_states()
write_rotations()

local idle_lanes = places > 0
  and call('ZCARD', K.lanes) + call('ZCARD', K.own .. worker) > #passed_over

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
if places == 0 and not paused.all and call('EXISTS', K.lanes) == 1 then wake() end
-- Who was given something looks again before it sleeps.
local again = #taken > 0 or idle_lanes and #passed_over == 0
return { rows(), again and 0 or nap(), recovered, aside and 1 or 0 }
