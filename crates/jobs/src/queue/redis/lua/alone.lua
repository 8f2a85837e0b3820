-- Jobs that run alone, and what is paused. Comes after freeing.lua.

-- What is paused: scopes as keys.
local pauses
local function read_pauses()
  pauses = {}
  for _, scope in ipairs(call('HKEYS', K.paused)) do
    pauses[scope] = true
  end
end

-- A job that lost its worker may have killed it, or only have run beside the one that did. It runs
-- in a worker that runs nothing else, and takes nothing else until that run has ended. One worker
-- of the queue at a time does so, and its turn holds the lane of the job free for it. After a turn
-- other jobs have as much time as it took, at most `REST`, before a worker that could take some of
-- them stands aside again.
local REST = 600000

-- Whose turn it is to run a job alone: worker, id, lane, since when, until when unless the worker
-- looks again, and the token if the job runs; or only `rest`, the time until which others come
-- first.
local turn_alone
local function read_turn()
  local stored = unpack_map(attempt('GET', K.alone))
  turn_alone = stored and (stored.rest or stored.till) and stored or {}
end

local function save_alone(known)
  turn_alone = known
  call('SET', K.alone, cmsgpack.pack(known))
end

local function may_run_alone(job, by)
  local known = gateway(job.lane)
  return not (pauses.all or pauses['kind:' .. job.kind] or pauses['gateway:' .. job.lane])
    and (known.held_until or 0) <= NOW
    and (not known.running or known.owner == by)
end

-- Gives a worker the turn, if there is a job for it.
local function stand_aside(worker, lease)
  -- Whether a job that merges is the next of its line: no other runs, and no older one is ready.
  local function comes_next(job)
    return not gateway(job.lane).merging and first_ready(job.subject) == job
  end

  local SUSPECTS = 128
  local function find_suspect()
    for _, waiting in ipairs(attempt('ZRANGE', K.suspects, 0, SUSPECTS - 1)) do
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

  local job = find_suspect()
  if not job then return end
  save_alone({ worker = worker, id = job.id, lane = job.lane, since = NOW, till = NOW + lease })
end

-- Ends the turn if it is over: its run has ended, the job may not run now, or the worker is gone.
-- A clock that was set back must not make it last.
local function check_turn(worker, wanted, lease)
  if not turn_alone.id then return end
  local job = read(turn_alone.id)
  local runs = job and job.state == 'running' and job.token == turn_alone.token
  local waits = job
    and job.state == 'ready'
    and not turn_alone.token
    and may_run_alone(job, turn_alone.worker)
  if (runs or waits) and turn_alone.till > NOW and turn_alone.till <= NOW + lease then
    if turn_alone.worker == worker and (runs or wanted > 0) then
      turn_alone.till = NOW + lease
      save_alone(turn_alone)
    end
    return
  end
  local lane = turn_alone.lane
  save_alone({ rest = NOW + math.min(math.max(NOW - turn_alone.since, 0), REST) })
  if call('EXISTS', K.lane .. lane) == 1 then offer_lane(lane) end
end
