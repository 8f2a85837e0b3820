-- Healing what keys that were removed or spoilt have left of jobs. Comes after alone.lua.

-- Heals what is missing of some jobs, as far as it follows from their heads: that they stand in the
-- lists of their states and in others, in their lines and in their lanes, and the runs of their lanes.
-- `found` is told the name of each wound; a call that only looks tells no more.
local function heal_jobs(ids, lease, found)
  local MOST_RUNNING, KIND_AT = 2000, 25
  local runs, known_lanes = nil, {}

  -- By lane its runs, as the list of running jobs says; false if that is too long.
  local function count_runs()
    local state, of_lanes = 'running', {}
    if call('ZCARD', K.state .. state) > MOST_RUNNING then return false end
    local running = call('ZRANGE', K.state .. state, 0, -1)
    for i, head in ipairs(#running > 0 and call('HMGET', K.job, unpack(running)) or {}) do
      local job = jobs[running[i]]
      if job == nil and head and #head > FIXED and head:byte(7) == STATE_CODES[state] then
        job = { state = state, kind = KINDS[head:byte(KIND_AT)], worker = head:match('|(.*)$') }
        job.lane = head:sub(FIXED + 1, FIXED + head:byte(KIND_AT + 2))
      end
      if job and job.state == state then
        local of_lane = of_lanes[job.lane] or { running = 0, merging = 0 }
        of_lane.running, of_lane.owner, of_lanes[job.lane] =
          of_lane.running + 1, job.worker, of_lane
        if MERGES[job.kind] then of_lane.merging = of_lane.merging + 1 end
      end
    end
    return of_lanes
  end

  local function heal_lane(lane)
    if known_lanes[lane] then return end
    known_lanes[lane] = true
    if runs == nil then runs = count_runs() end
    if not runs then return end
    local known, real = gateway(lane), runs[lane] or { running = 0, merging = 0 }
    if (known.running or 0) == real.running and (known.merging or 0) == real.merging then return end
    found('runs')
    if looks_only then return end
    known.running = real.running > 0 and real.running or nil
    known.merging = real.merging > 0 and real.merging or nil
    if known.running and not known.owner then known.owner = real.owner end
    disown(lane, known)
    if call('EXISTS', K.lane .. lane) == 1 then offer_lane(lane) end
  end

  local function is_listed(what, key, score, name)
    if attempt('ZSCORE', key, name) then return true end
    found(what)
    if not looks_only then attempt('ZADD', key, text(score), name) end
    return false
  end

  -- The first job of a line, past those that are gone or cannot be read.
  local function first_of(subject)
    for _, id in ipairs(line_ids(subject, 0, LINE - 1)) do
      local job = read(id)
      if job and not ENDED[job.state] then return id end
      found('strays')
      if looks_only then return nil end
      leave_line(subject, id)
    end
  end

  -- A ready job of which neither its lane nor the rotation knows any more. Jobs that merge are left to
  -- the next one that comes or ends, unless the lane offers nothing.
  local function heal_offer(job)
    local known, lane = gateway(job.lane), job.lane
    if pauses['kind:' .. job.kind] or first_of(job.subject) ~= job.id then return end
    if MERGES[job.kind] then
      local offers = job.lost or known.merging or call('EXISTS', K.lane .. lane) == 1
      if not offers and not looks_only then offer(job.subject) end
    elseif not attempt('ZSCORE', job.lost and K.suspects or K.lane .. lane, offered_as(job)) then
      if attempt('ZSCORE', K.parked .. job.kind, job.subject) then return end
      found('offers')
      if not looks_only then offer_job(job) end
    elseif not (job.lost or known.running or attempt('ZSCORE', K.lanes, lane)) then
      if not looks_only then offer_lane(lane) end
    end
  end

  local function heal_group(job)
    if groups[job.group] ~= nil then return end
    local fits = attempt('ZSCORE', K.group .. job.group, job.id)
      and call('HEXISTS', K.failures, job.group) == 1
      and call('ZSCORE', K.groups, job.group)
    if fits or not job.failure then return end
    found('groups')
    if not looks_only then
      join_group(job)
      save(job)
    end
  end

  -- Another connection of its gateway frees a job that it refused, which its failure tells.
  local function is_refused(job)
    local ok, failure = pcall(cjson.decode, job.failure or '')
    return ok and type(failure) == 'table' and failure.scope == 'gateway'
  end

  read_all(ids)
  for _, id in ipairs(ids) do
    local job = read(id)
    if job then
      local known, state = gateway(job.lane), job.state
      local till = state == 'running' and NOW + lease or job.next_at or job.since
      is_listed('states', K.state .. state, till, id)
      if not known[state] then
        found('numbers')
        known[state] = 1
      end
      if job.group then heal_group(job) end
    end
  end
  for _, id in ipairs(ids) do
    local job = read(id)
    if job and not ENDED[job.state] then
      local state = job.state
      is_listed('gateways', K.gateways, job.enqueued_at, job.lane)
      if job.expires_at and state ~= 'running' then
        is_listed('expiry', K.expiry, job.expires_at, id)
      end
      if state == 'scheduled' then
        is_listed('later', K.later .. job.subject, job.seq, id)
      elseif not is_in_line(job) then
        found('lines')
        if not looks_only then add_to_line(job) end
      end
      if state == 'blocked' and is_refused(job) then
        local at = (job.reprobed and TRIED or 0) + job.since
        is_listed('blocked', K.blocked .. job.lane, at, id)
      end
      heal_lane(job.lane)
      if state == 'ready' then heal_offer(job) end
    end
  end
end

-- Removes what a lane offers of jobs that are gone.
local function clear_lane(lane, found)
  for _, one in ipairs(attempt('ZRANGE', K.lane .. lane, 0, LINE - 1) or {}) do
    local id, subject = one:sub(1, 36), one:sub(37)
    if not read(id) then
      found('strays', 'lane:' .. lane .. ' ' .. id)
      if not looks_only then
        attempt('ZREM', K.lane .. lane, one)
        if subject ~= '' then
          leave_line(subject, id)
          offer(subject)
        end
      end
    end
  end
end

-- Corrects how many jobs of a state each gateway has, if these are not too many, after some have left
-- the list of the state that are gone. Running jobs are counted by `heal_jobs`.
local function recount(state)
  local MOST, key, real = 2000, K.state .. state, {}
  if state == 'running' or call('ZCARD', key) > MOST then return end
  local ids = call('ZRANGE', key, 0, -1)
  for _, head in ipairs(#ids > 0 and call('HMGET', K.job, unpack(ids)) or {}) do
    local lane = head and #head > FIXED and head:sub(FIXED + 1):match('^[^/]*')
    if lane then real[lane] = (real[lane] or 0) + 1 end
  end
  local known_lanes = call('ZREVRANGE', K.gateways, 0, MOST - 1)
  read_lanes(known_lanes)
  for _, lane in ipairs(known_lanes) do
    local known = lanes[lane] or unpack_map(packed_lanes[lane] or nil)
    if known and known[state] ~= real[lane] then
      gateway(lane)[state] = real[lane]
      if state == 'ready' then clear_lane(lane, function() end) end
    end
  end
end

-- Strikes ids off the lists of states whose jobs are gone. Each call looks at another page of long
-- lists. Those of running jobs leave when their leases end.
local function heal_states(turn)
  local PAGE = 32
  for _, state in ipairs(STATES) do
    local key, gone = K.state .. state, {}
    local pages = state == 'running' and 0 or math.ceil(call('ZCARD', key) / PAGE)
    local first = pages > 0 and turn % pages * PAGE
    local ids = first and call('ZRANGE', key, first, first + PAGE - 1) or {}
    for i, head in ipairs(#ids > 0 and call('HMGET', K.job, unpack(ids)) or {}) do
      if not head and not jobs[ids[i]] then gone[#gone + 1] = ids[i] end
    end
    if #gone > 0 then
      call('ZREM', key, unpack(gone))
      recount(state)
    end
  end
end
