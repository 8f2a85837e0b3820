-- Frees the jobs that a gateway refused with a former connection. Comes after transitions.lua.

-- Added to the time of a job that was tried because another one had succeeded, and was refused
-- again: only another connection frees it.
local TRIED = 1e13

-- The jobs that the gateway of a lane had refused by that time, or `+inf`.
local function refused_by(lane, by, most)
  local key = K.blocked .. lane
  if by == '+inf' then return attempt('ZRANGE', key, 0, most - 1) end
  local ids = attempt('ZRANGEBYSCORE', key, 0, by, 'LIMIT', 0, most)
  local rest, last = most - #ids, text(TRIED + tonumber(by))
  if rest > 0 then
    for _, id in ipairs(attempt('ZRANGEBYSCORE', key, text(TRIED), last, 'LIMIT', 0, rest)) do
      ids[#ids + 1] = id
    end
  end
  return ids
end

-- Whether a job has run with a connection that is not the gateway's any more. One that has brought the
-- present one has run with it, even if it began in the same millisecond.
local function has_reconnected(job)
  local known = connection(job.lane)
  return known and known.document ~= job.id and (known.changed or 0) >= (job.started_at or 0)
end

-- Makes jobs ready that the gateway of a lane had refused by that time. Each of them is tried once
-- for that, because it leaves the list. Returns how many were looked at.
local function free_lane(lane, by, most)
  local refused = refused_by(lane, by, most)
  for _, id in ipairs(refused) do
    local job = read(id)
    if job and job.state == 'blocked' then
      job.reprobed = nil
      go(job, 'ready')
      offer(job.subject)
    else
      attempt('ZREM', K.blocked .. lane, id)
    end
  end
  return #refused
end

-- Gateways have got other connections in this call. Their lanes are tried at once, and so are the
-- jobs that were refused: some of them now, the rest when workers claim.
local function free_reconnected()
  -- As many as `free_more` frees in a call.
  local rest = 20
  for lane in pairs(reconnected) do
    local known = gateway(lane)
    unhold(lane)
    if known.ready then offer_lane(lane) end
    if known.blocked then
      if rest > 0 then rest = rest - free_lane(lane, '+inf', rest) end
      if rest == 0 then call('ZADD', K.reconnected, NOW, lane) end
    end
  end
  if rest == 0 then wake() end
end

-- The rest of them. Returns whether there may be more.
local function free_more()
  local MOST = 20
  local lane, by = unpack(call('ZRANGE', K.reconnected, 0, 0, 'WITHSCORES'))
  if not lane then return false end
  if free_lane(lane, by, MOST) < MOST then call('ZREM', K.reconnected, lane) end
  return true
end

-- A scope is not paused any more: workers look for its jobs.
local function resume_jobs(scope)
  local lane = scope:match('^gateway:(.*)$')
  if lane and call('EXISTS', K.lane .. lane) == 1 then offer_lane(lane) end
  wake()
  -- Of a lane that has running jobs only the worker that runs them can take more, and it may have
  -- slots free.
  for _, id in ipairs(call('ZRANGE', K.state .. 'running', 0, 999)) do
    local job = read(id)
    if job and job.worker then wake(job.worker) end
  end
end
