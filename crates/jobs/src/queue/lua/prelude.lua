-- What all scripts share. Before it stand the generated tables K (keys), NEXT and RETRYABLE (states).
-- A script checks before it writes: Redis does not undo what a failing script has done.

local clock = redis.call('TIME')
local NOW = clock[1] * 1000 + math.floor(clock[2] / 1000)
local HISTORY = 20

local FIELDS = { 'state', 'version', 'kind', 'lane', 'subject', 'seq', 'attempts', 'max_attempts', 'runs', 'lost',
  'worker', 'token', 'enqueued_at', 'started_at', 'snoozed_since' }

-- Whole numbers as text; Lua would write big ones as 1.7e+12.
local function text(number) return string.format('%.0f', number) end

-- A job's fields without its payload; nil if it is not there.
local function read(id)
  local values = redis.call('HMGET', K.job .. id, unpack(FIELDS))
  if not values[1] then return nil end
  local job = { id = id }
  for i, name in ipairs(FIELDS) do job[name] = values[i] or nil end
  job.lane, job.subject, job.seq = job.lane or '', job.subject or '', tonumber(job.seq) or 0
  return job
end

local function allowed(from, to) return (NEXT[from] or {})[to] == true end

local function refuse(id, from, to)
  return redis.error_reply('FORBIDDEN job ' .. id .. ' cannot go from ' .. from .. ' to ' .. to)
end

-- Moves a job to another state, listed there by the score.
local function move(id, from, to, score)
  if not allowed(from, to) then error('unchecked transition from ' .. from .. ' to ' .. to) end
  if from ~= 'new' then
    redis.call('ZREM', K.state .. from, id)
    redis.call('HINCRBY', K.counts, from, -1)
  end
  redis.call('ZADD', K.state .. to, score, id)
  redis.call('HINCRBY', K.counts, to, 1)
  redis.call('HSET', K.job .. id, 'state', to)
end

-- Wakes any idle worker, or that one. A token is enough: who takes it looks at everything.
local function wake(worker)
  local key = worker and (K.wake .. ':' .. worker) or K.wake
  if redis.call('LLEN', key) == 0 then redis.call('RPUSH', key, '1') end
  redis.call('PEXPIRE', key, 60000)
end

-- Puts a lane that has something to run at the end of the rotation, of its owner or of everybody.
local function offer_lane(lane)
  local owner = redis.call('HGET', K.owners, lane) or nil
  local rotation = owner and (K.own .. owner) or K.lanes
  redis.call('ZADD', rotation, 'NX', redis.call('INCR', K.turn), lane)
  wake(owner)
end

-- Offers the oldest ready job of a subject that runs none.
local function offer(lane, subject)
  local oldest = redis.call('ZRANGE', K.subject .. subject, 0, 0, 'WITHSCORES')
  if not oldest[1] then return end
  redis.call('ZADD', K.lane .. lane, oldest[2], subject)
  offer_lane(lane)
end

-- Lines up a ready job behind the older ones of its subject.
local function line_up(job)
  redis.call('ZADD', K.subject .. job.subject, job.seq, job.id)
  if redis.call('HEXISTS', K.holders, job.subject) == 0 then offer(job.lane, job.subject) end
end

-- Frees the subject of a job that runs no more, and its lane after the last one.
local function leave(job)
  redis.call('HDEL', K.job .. job.id, 'worker')
  redis.call('HDEL', K.holders, job.subject)
  if redis.call('HINCRBY', K.busy, job.lane, -1) <= 0 then
    local owner = redis.call('HGET', K.owners, job.lane)
    redis.call('HDEL', K.busy, job.lane)
    redis.call('HDEL', K.owners, job.lane)
    if owner and redis.call('ZREM', K.own .. owner, job.lane) == 1 then offer_lane(job.lane) end
  end
  offer(job.lane, job.subject)
end

-- Notes a run that ended. `result` is JSON: outcome, code, message, action, steps.
local function note(job, result)
  redis.call('RPUSH', K.history .. job.id, string.format(
    '{"number":%s,"worker":%s,"started_at_ms":%s,"ended_at_ms":%s,"result":%s}', text(tonumber(job.runs) or 0),
    cjson.encode(job.worker or ''), text(tonumber(job.started_at) or 0), text(NOW), result))
  redis.call('LTRIM', K.history .. job.id, -HISTORY, -1)
end

-- Whether that worker still holds that lease.
local function holds(job, worker, token)
  return job and job.state == 'running' and job.worker == worker and job.token == token
end
