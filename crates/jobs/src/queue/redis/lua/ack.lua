-- Acknowledges runs: writes how they ended and moves their jobs to the next state.
-- KEYS  1 the queue's prefix
-- ARGV  1 worker  2 the longest time that a job may be snoozed in a row, in ms  3 the time after
--       which a gateway that is away is given up, in ms, or 0, then per job: id, token, next
--       state, delay in ms, whether the run counts (1 or 0), reason of death or `apart`, result for the
--       history (JSON), failure (JSON), report (JSON), the signal of the gateway: reached,
--       blocked, busy, restarting, unreachable or nothing, and how long to leave it alone, in ms;
--       the gateway as the document describes it, and its own description (JSON, or empty); the
--       number of the agent's record that the run used or empty, and what it owed: letters with ids,
--       and `h` with the number of the heartbeat that it used;
--       what the run has applied to the agent (JSON, or empty)
-- Returns per job its new state, `lost` if the lease belongs to another worker now, or `refused`.
--   Repeating an ack changes nothing.
-- Cost  about 6 commands per job, 4 more if it failed or had failed, and 6 per job that a gateway's
--   recovery sets free, at most 40 of these; the caller sends at most 32 jobs.

local worker, snooze_limit, give_up_after, VALUES, FREED =
  ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), 16, 20
local still_to_free = 40
local RESTARTS, RESTART_KEPT = 1000, 8 * 86400000

-- Jobs that run together meet a restart together: it counts once a minute.
local function note_restart(job, known)
  if NOW - (known.restarted_at or 0) < 60000 then return end
  known.restarted_at = NOW
  meter(job, 'restart')
  attempt('ZADD', K.restarts, NOW, job.lane .. ' ' .. NOW_TEXT)
  call('ZREMRANGEBYRANK', K.restarts, 0, -RESTARTS - 1)
  call('PEXPIRE', K.restarts, RESTART_KEPT)
end

-- What a run can learn of a gateway that does not serve anybody now.
local AWAY = { unreachable = true, busy = true, restarting = true }

-- What a run learnt of its gateway concerns all jobs of the lane.
local function learn(job, learnt, alone, failure)
  local known = gateway(job.lane)
  if learnt == 'unreachable' then
    -- The next probe is another job's: one with an old address must not keep the others from a
    -- gateway that is there.
    job.rank = job.priority * RANKS + next_of(K.seq)
    known.failures = math.max(known.failures or 0, (job.lane_failures or 0) + 1)
    hold(job.lane, alone)
  elseif learnt == 'busy' or learnt == 'restarting' then
    hold(job.lane, alone)
    if learnt == 'restarting' then note_restart(job, known) end
  else
    unhold(job.lane)
  end
  if AWAY[learnt] then known.away_since = known.away_since or NOW end
  if learnt == 'reached' then known.reached_at = NOW end
  if failure then
    known.failure, known.failed_at = failure, NOW
  end
end

-- A lane may have twice as many runs after each answer of its gateway, half as many after a run that
-- failed in another way, and as few as at first when it cannot be reached.
local MOST = 1024
local function widen(known, to, learnt)
  if to == 'done' or learnt == 'reached' or learnt == 'blocked' then
    known.window, known.heard_at = math.min(window(known) * 2, MOST), NOW
  elseif learnt == 'unreachable' then
    put(known, 'window', nil)
  elseif FAILING[to] and not AWAY[learnt] then
    known.window = math.max(math.floor(window(known) / 2), FEW)
  end
end

-- A gateway that serves one job may serve those that it turned away; each is tried once for that.
local function free_blocked(lane)
  local most = math.min(FREED, still_to_free, gateway(lane).blocked or 0)
  if most == 0 then return end
  local untried =
    attempt('ZRANGEBYSCORE', K.blocked .. lane, 0, '(' .. text(TRIED), 'LIMIT', 0, most)
  for _, id in ipairs(untried) do
    still_to_free = still_to_free - 1
    local job = read(id)
    if job and job.state == 'blocked' then
      job.reprobed = 1
      go(job, 'ready')
      offer(job.subject)
    else
      attempt('ZREM', K.blocked .. lane, id)
    end
  end
end

-- How runs ended, in the gateway's record: `slot_done` and `slot_failed` of these five minutes
-- (`slot`); in `recent` the same of those before in which any ended, as `slot done failed;`, of an
-- hour.
local SLOT, SLOTS = 300000, 12
local function note_end(known, to)
  local at = math.floor(NOW / SLOT)
  if known.slot ~= at then
    if known.slot then
      local recent = (known.recent or '')
        .. known.slot
        .. ' '
        .. (known.slot_done or 0)
        .. ' '
        .. (known.slot_failed or 0)
        .. ';'
      known.recent = recent:gsub(
        '(%d+) [^;]*;',
        function(slot) return tonumber(slot) <= at - SLOTS and '' or nil end
      )
    end
    known.slot, known.slot_done, known.slot_failed = at, nil, nil
  end
  local count = to == 'done' and 'slot_done' or 'slot_failed'
  known[count] = (known[count] or 0) + 1
end

-- The next run removes what this one has applied and is not wanted any more. Nothing is left of an
-- agent that was cleaned up, or that the queue does not know any more.
local function note_applied(job, applied)
  local subject = job.subject
  local known = agents[subject]
  if known == nil then known = packed_agents[subject] end
  if job.kind == 'cleanup' or not known then
    call('HDEL', K.applied, subject)
  elseif applied ~= '' then
    call('HSET', K.applied, subject, applied)
  end
end

-- What the document and the gateway itself say of the gateway.
local function describe(known, i)
  local about, facts = ARGV[i + 11], ARGV[i + 12]
  if about ~= '' then known.about = about end
  if facts ~= '' then known.facts = facts end
end

-- Whether a heartbeat-sync has come while a provisioning of its agent ran, which can have undone what
-- the sync wrote.
local function is_overtaken(lane, subject, i)
  local record = ARGV[i + 13] ~= '' and gateway(lane).synced and agent_record(subject)
  if not record then return false end
  local kept = call('HGET', K.heartbeats .. lane, agent_of(subject))
  local newest, used = kept and kept:match('^%d+'), ARGV[i + 14]:match('h(%d+)')
  return (tonumber(newest) or 0) > math.max(record.seq, tonumber(used) or 0)
end

-- A run that is done has proven what the record of its agent said.
local function prove(job, i)
  if ARGV[i + 13] == '' then return end
  observe(job, tonumber(ARGV[i + 13]), ARGV[i + 14]:match('^[^h]*'))
  note_applied(job, ARGV[i + 15])
end

-- Completes a job that was done in its first run by its head, if that is plain and its gateway is as
-- it should be. Returns whether it did.
local function complete_plain(i, id, head)
  local learnt = ARGV[i + 9]
  if not head or jobs[id] ~= nil or ARGV[i + 2] ~= 'done' then return false end
  if ARGV[i + 4] ~= '1' or ARGV[i + 5] ~= '' or ARGV[i + 7] ~= '' then return false end
  if learnt ~= '' and learnt ~= 'reached' then return false end
  local token, _, flags, _, runs, _, started, code, _, length = struct.unpack(RUN .. 'BBB', head)
  local kind, bar = KINDS[code], head:find('|', FIXED + 1, true)
  if token ~= tonumber(ARGV[i + 1]) or runs ~= 1 then return false end
  if not kind or kind == 'cleanup' or MERGES[kind] then return false end
  if not bar or head:sub(bar + 1) ~= worker then return false end
  local lane, subject = head:sub(FIXED + 1, FIXED + length), head:sub(FIXED + 1, bar - 1)
  local known = gateway(lane)
  if known.failures or known.held_until or known.away_since or known.blocked then return false end
  if is_overtaken(lane, subject, i) then return false end

  pass_on(id, token, flags, started, head:sub(UNCHANGED), kind, subject)
  local one = { id = id, kind = kind, lane = lane, subject = subject, runs = 1, worker = worker }
  one.started_at = started
  note(one, ARGV[i + 6])
  if ARGV[i + 8] ~= '' then outs[id] = ARGV[i + 8] .. outs[id] end
  meter_time(one, 'run|', NOW - started)
  meter(one, 'done')
  widen(known, 'done', learnt)
  note_end(known, 'done')
  if learnt == 'reached' then known.reached_at = NOW end
  describe(known, i)
  known.running, known.done = less(known.running), (known.done or 0) + 1
  disown(lane, known)
  if known.ready then offer_lane(lane) end
  prove(one, i)
  return true
end

local function settle(i)
  local id, token, to, delay, counts, reason =
    ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2], tonumber(ARGV[i + 3]), ARGV[i + 4], ARGV[i + 5]
  local result, failure, report, learnt, alone =
    ARGV[i + 6], ARGV[i + 7], ARGV[i + 8], ARGV[i + 9], ARGV[i + 10]
  if failure == '' then failure = nil end
  local job = read(id)
  if not job or job.token ~= token then return 'lost' end
  if job.state ~= 'running' then return job.state end
  if job.worker ~= worker then return 'lost' end
  if not allowed('running', to) then return 'refused' end

  put(job, 'snoozed_since', to == 'snoozed' and (job.snoozed_since or NOW) or nil)
  note(job, result)
  meter_time(job, 'run|', NOW - (job.started_at or NOW))
  if counts == '0' then job.attempts = job.attempts - 1 end
  put(job, 'lost', nil)
  if report ~= '' then outs[id] = report .. outs[id]:match('\n.*') end
  local known = gateway(job.lane)
  describe(known, i)
  -- The run was shared and failed: each job runs again by itself.
  if reason == 'apart' then
    job.apart = 1
  else
    widen(known, to, learnt)
  end
  if learnt ~= '' then learn(job, learnt, tonumber(alone), failure) end
  if WAITING[to] and not job.cancel then
    if AWAY[learnt] then
      if give_up_after > 0 and NOW + delay - known.away_since > give_up_after then
        to, reason = 'dead', 'gateway_gone'
      end
    elseif to == 'snoozed' and NOW + delay - job.snoozed_since > snooze_limit then
      to, reason = 'dead', 'snooze_deadline'
    end
  end
  if to == 'done' or FAILING[to] and to ~= 'snoozed' then note_end(known, to) end

  if to == 'done' and job.kind ~= 'cleanup' and is_overtaken(job.lane, job.subject, i) then
    -- Another state is wanted now, so that what was written counts no more.
    if counts == '1' then job.attempts = job.attempts - 1 end
    job.token, job.effects = nil, nil
    wait_again(job, 'ready', NOW)
  elseif WAITING[to] then
    wait_again(job, to, NOW + delay, failure)
  else
    go(job, to, NOW, {
      failure = failure,
      reason = to == 'dead' and reason or to == 'cancelled' and (job.cancel or 'cancelled') or nil,
    })
  end
  if job.state == 'blocked' and learnt == 'blocked' and has_reconnected(job) then
    job.reprobed = nil
    go(job, 'ready')
  elseif job.state == 'blocked' and learnt == 'blocked' then
    attempt('ZADD', K.blocked .. job.lane, (job.reprobed and TRIED or 0) + NOW, id)
  end
  leave(job)
  if to == 'done' then prove(job, i) end
  if job.state == 'done' and learnt == 'reached' then free_blocked(job.lane) end
  -- Idle workers have to look again, to know when this one is due.
  if WAITING[job.state] then wake() end
  return job.state
end

local ids, others, subjects, their_lanes, answer = {}, {}, {}, {}, {}
for i = 4, #ARGV, VALUES do
  ids[#ids + 1] = ARGV[i]
end
local heads = call('HMGET', K.job, unpack(ids))
for k, head in ipairs(heads) do
  if head and #head > FIXED then
    local subject = head:sub(FIXED + 1):match('^[^|]*')
    subjects[#subjects + 1], their_lanes[#their_lanes + 1] = subject, subject:match('^[^/]*')
  end
  if not is_plain(head, 'running') then
    heads[k], others[#others + 1] = false, ids[k]
  end
end
read_all(others)
read_lanes(their_lanes)
if #subjects > 0 then read_agents(subjects) end
begin_plain('running', 'done', NOW_TEXT)
local completed = {}
for k, id in ipairs(ids) do
  local i = 4 + (k - 1) * VALUES
  if completed[id] then
    answer[k] = ARGV[i + 1] == completed[id] and 'done' or 'lost'
  elseif complete_plain(i, id, heads[k]) then
    answer[k], completed[id] = 'done', ARGV[i + 1]
  else
    answer[k] = settle(i)
  end
end
return answer
