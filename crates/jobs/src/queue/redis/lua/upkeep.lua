-- What a claim does for the whole queue before it takes jobs: it makes due jobs ready, ends expired
-- ones, takes back lost leases, removes old jobs, and heals wounds. Each does a bounded number of
-- things, and the next claim goes on. Comes after healing.lua.

-- The states that jobs wait in, in the order in which those that are due leave them.
local WAITS = { 'scheduled', 'retrying', 'snoozed', 'blocked' }

-- `lease` is the length of one in ms. `keep` says how long and how many ended jobs are kept: `age`
-- (ms) and `most` of those that are done, superseded or cancelled, `dead_age` and `most_dead` of the
-- dead. Returns whether something is left to do, and how many leases were taken back.
local function upkeep(lease, keep)
  local POISON, HOURS_KEPT, LOOKED_AT = 3, 8 * 86400000, 100
  local more_to_do, recovered = false, 0
  -- How many more jobs are made due and removed.
  local to_make_due, to_prune = 48, 64

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
        attempt('ZREM', K.later .. job.subject, id)
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
    return math.abs(NOW - (tonumber(attempt('ZSCORE', K.beats, name) or 0) or 0)) < lease / 2
  end

  -- The worker went away. The run counts, and the job is a suspect: from now on it runs alone. One
  -- that takes three workers along while it runs alone is poison.
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
        message = 'The job lost its worker '
          .. POISON
          .. ' times in a row while it ran turn_alone.',
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
    local minute, full, looked = math.max(rolled, last - MINUTES_KEPT / 60000), 0, 0
    while minute < last and full < 3 and looked < LOOKED_AT do
      minute, looked = minute + 1, looked + 1
      local counters = attempt('HGETALL', K.minute .. minute)
      if #counters > 0 then
        full = full + 1
        local quarter, hour =
          K.quarter .. math.floor(minute / 15), K.hour .. math.floor(minute / 60)
        for i = 1, #counters, 2 do
          local times = tonumber(counters[i + 1]) or 0
          add_to(quarter, counters[i], times)
          add_to(hour, counters[i], times)
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
      -- It may have come back.
      if not agent_record(subject) then forget_line(subject) end
      call('ZREM', K.remembered, subject)
    end
  end

  -- When nobody has looked for half a lease, Redis was away or all workers were. Those that are still
  -- there get time to renew before their leases are taken back.
  local function sweep()
    local pulse, calm, rolled = unpack(call('MGET', K.pulse, K.calm, K.rolled))
    call('SET', K.pulse, NOW)
    add_up(tonumber(rolled or '') or 0)
    forget_agents()
    if free_more() then more_to_do = true end
    calm = tonumber(calm or '') or 0
    if math.abs(NOW - (tonumber(pulse or '') or NOW)) > lease / 2 then
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
  local OLD = 32
  local function prune(state, age, most, after)
    local key, room = K.state .. state, share(to_prune, OLD, after)
    local count = call('ZCARD', key)
    if count == 0 then return end
    local excess = math.min(count - most, room)
    local old = excess > 0 and call('ZRANGE', key, 0, excess - 1)
      or call('ZRANGEBYSCORE', key, '-inf', NOW - age, 'LIMIT', 0, room)
    to_prune = to_prune - #old
    if #old == 0 then return end
    local gone, old_jobs, subjects, their_lanes = {}, {}, {}, {}
    read_all(old)
    for _, id in ipairs(old) do
      local job = read(id)
      if job then
        local n = #old_jobs + 1
        old_jobs[n], subjects[n], their_lanes[n] = job, job.subject, job.lane
      end
    end
    read_lanes(their_lanes)
    if #subjects > 0 then
      read_agents(subjects)
      read_connections(their_lanes)
    end
    for _, job in ipairs(old_jobs) do
      local known = gateway(job.lane)
      known[state] = less(known[state])
      if job.group then leave_group(job) end
      -- A cleanup that was never done keeps its agent from being written no longer than it is kept.
      if job.kind == 'cleanup' then withdraw_document(job) end
      if not is_needed(job.lane, job.subject, job.id) then
        gone[job.lane] = gone[job.lane] or {}
        table.insert(gone[job.lane], job.id)
      end
    end
    for _, id in ipairs(old) do
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

  -- Heals what keys that were removed by hand, or scripts that Redis has stopped half-way, have left.
  -- A call looks at some jobs every quarter of a lease, so that all have their turn.
  local function heal()
    local at, cursor = (attempt('GET', K.healed) or ''):match('^(%d+) (%d+)$')
    if at and math.abs(NOW - at) < lease / 4 then return end
    if not cursor or #cursor > 19 then cursor = '0' end
    local next_cursor, found = unpack(call('HSCAN', K.job, cursor, 'COUNT', LOOKED_AT))
    call('SET', K.healed, NOW_TEXT .. ' ' .. next_cursor)
    if #found > 0 and not layout then create() end
    -- What workers wait for.
    attempt('LLEN', K.wake)
    local ids = {}
    for i = 1, #found, 2 do
      ids[#ids + 1] = found[i]
    end
    heal_jobs(ids, lease, function() end)
    heal_states(math.floor(4 * NOW / lease))
  end

  -- Subjects that were put aside because their kind was paused, and is not any more.
  local function unpark()
    for _, kind in ipairs(KINDS) do
      if not pauses['kind:' .. kind] then
        local aside = attempt('ZPOPMIN', K.parked .. kind, STEP / 4)
        if #aside > 0 then more_to_do = true end
        for i = 1, #aside, 2 do
          offer(aside[i])
        end
      end
    end
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
    prune(state, keep.age, keep.most, 4 - i)
  end
  prune('dead', keep.dead_age, keep.most_dead, 0)
  return more_to_do, recovered
end
