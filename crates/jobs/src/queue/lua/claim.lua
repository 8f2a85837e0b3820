-- Makes due jobs ready, takes back lost leases, and gives a worker up to n jobs.
-- KEYS  1 the queue's prefix
-- ARGV  1 worker  2 n, may be 0  3 lease in ms
-- Returns {jobs, ms until the next waiting job is due or -1}; a job is {id, token, version, kind, lane, attempt,
--   max attempts, run, enqueued at, payload}.
-- Cost  at most 200 due jobs, 100 lost leases and n + 100 candidates, about 10 commands each.

local worker, wanted, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local WAITING = { 'scheduled', 'retrying', 'snoozed', 'blocked' }
local DUE_PER_STATE, SWEEP, SPARE, POISON = 50, 100, 100, 3

local function promote(from)
  local due = redis.call('ZRANGEBYSCORE', K.state .. from, '-inf', NOW, 'LIMIT', 0, DUE_PER_STATE)
  for _, id in ipairs(due) do
    local job = read(id)
    if job and job.state == from then
      move(id, from, 'ready', NOW)
      redis.call('HDEL', K.job .. id, 'next_at')
      line_up(job)
    else
      -- The job was removed by hand: nothing is left to run.
      redis.call('ZREM', K.state .. from, id)
      redis.call('HINCRBY', K.counts, from, -1)
    end
  end
end

-- The worker went away. The run counts, and a job that takes three workers along in a row is poison.
local function lose(job)
  local lost = (tonumber(job.lost) or 0) + 1
  local to, reason, failure = 'ready', nil, { code = 'lease_lost',
    message = 'Worker ' .. (job.worker or '?') .. ' stopped renewing its lease: it was killed, froze or lost Redis.' }
  if lost >= POISON then
    to, reason = 'dead', 'poison'
    failure = { code = 'poison', message = 'The job lost its worker ' .. POISON .. ' times in a row.',
      action = 'Look in the workers\' logs for why they ended, then retry the job.' }
  elseif (tonumber(job.attempts) or 0) >= (tonumber(job.max_attempts) or 0) then
    to, reason = 'dead', 'attempts'
  end
  note(job, cjson.encode({ outcome = 'lost', code = failure.code, message = failure.message }))
  redis.call('HSET', K.job .. job.id, 'lost', lost, 'failure', cjson.encode(failure))
  redis.call('HDEL', K.job .. job.id, 'token')
  move(job.id, 'running', to, NOW)
  leave(job)
  if to == 'ready' then
    line_up(job)
  else
    redis.call('HSET', K.job .. job.id, 'reason', reason, 'finished_at', text(NOW))
  end
end

-- When nobody has looked for half a lease, Redis was away or all workers were. Those that are still there get time to
-- renew before their leases are taken back.
local function sweep()
  local pulse = tonumber(redis.call('GET', K.pulse) or NOW)
  redis.call('SET', K.pulse, text(NOW))
  if NOW - pulse > lease / 2 then redis.call('SET', K.calm, 1, 'PX', math.ceil(lease / 2)) end
  if redis.call('EXISTS', K.calm) == 1 then return end
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', K.state .. 'running', '-inf', NOW, 'LIMIT', 0, SWEEP)) do
    local job = read(id)
    if job and job.state == 'running' then
      lose(job)
    else
      redis.call('ZREM', K.state .. 'running', id)
      redis.call('HINCRBY', K.counts, 'running', -1)
    end
  end
end

-- The lane whose turn it is, and which rotation it stands in.
local function next_lane()
  local own = redis.call('ZRANGE', K.own .. worker, 0, 0, 'WITHSCORES')
  local free = redis.call('ZRANGE', K.lanes, 0, 0, 'WITHSCORES')
  if own[1] and (not free[1] or tonumber(own[2]) <= tonumber(free[2])) then return own[1], K.own .. worker end
  return free[1], K.lanes
end

local function take(job)
  local token = redis.call('INCR', K.token)
  move(job.id, 'ready', 'running', NOW + lease)
  redis.call('ZREM', K.subject .. job.subject, job.id)
  redis.call('HSET', K.holders, job.subject, job.id)
  redis.call('HSET', K.owners, job.lane, worker)
  redis.call('HINCRBY', K.busy, job.lane, 1)
  redis.call('HSET', K.job .. job.id, 'worker', worker, 'token', token, 'started_at', text(NOW))
  local attempt = redis.call('HINCRBY', K.job .. job.id, 'attempts', 1)
  local run = redis.call('HINCRBY', K.job .. job.id, 'runs', 1)
  return { job.id, text(token), job.version or '', job.kind or '', job.lane, text(attempt), job.max_attempts or '0',
    text(run), job.enqueued_at or '0', redis.call('HGET', K.job .. job.id, 'payload') or '' }
end

for _, state in ipairs(WAITING) do promote(state) end
sweep()

local jobs = {}
for _ = 1, wanted > 0 and wanted + SPARE or 0 do
  local lane, rotation = next_lane()
  if not lane or #jobs == wanted then break end
  local subject = redis.call('ZPOPMIN', K.lane .. lane)[1]
  local id = subject and redis.call('ZRANGE', K.subject .. subject, 0, 0)[1]
  local job = id and read(id)
  redis.call('ZREM', rotation, lane)
  if job and job.state == 'ready' then
    jobs[#jobs + 1] = take(job)
  elseif id then
    -- The job was removed by hand: on to the next of its subject.
    redis.call('ZREM', K.subject .. subject, id)
    offer(lane, subject)
  end
  -- The lane goes to the end of the rotation that is its own now.
  if redis.call('EXISTS', K.lane .. lane) == 1 then offer_lane(lane) end
end

-- Others may be idle while this worker cannot take more.
if #jobs == wanted and redis.call('EXISTS', K.lanes) == 1 then wake() end

local wait = -1
for _, state in ipairs(WAITING) do
  local due = redis.call('ZRANGE', K.state .. state, 0, 0, 'WITHSCORES')[2]
  if due and (wait < 0 or tonumber(due) - NOW < wait) then wait = math.max(0, tonumber(due) - NOW) end
end
return { jobs, wait }
