-- The lines of subjects: the jobs of one that have been due and have not ended, in their order.
-- Comes after prelude.lua.
--
-- Most lines have one job. It stands in the subject's entry, and stays there when it has ended, so
-- that its end costs nothing. A line of several is a sorted set, and its jobs are marked `lined`.

-- By subject: the entries that were read, and those that have changed. An entry has `seq` (the
-- number of its newest job, or 0), `latest` (the job that was enqueued last, where the chain of
-- `before` begins; empty if that is not known), and `only` (the job of the line, `*` for a sorted
-- set, or empty).
local lines, changed_lines

local function unpack_line(packed)
  local line = { seq = 0, latest = '', only = '' }
  if packed and #packed > 6 then
    line.seq = struct.unpack('<I6', packed)
    line.latest, line.only = packed:match('^([^|]*)|(.*)$', 7)
    if not line.only then
      line.latest, line.only = '', ''
    end
  end
  return line
end

local function line_of(subject)
  local line = lines[subject]
  if not line then
    line = unpack_line(call('HGET', K.line, subject))
    lines[subject] = line
  end
  return line
end

-- Reads the entries of several subjects, none of which was read yet, and the jobs that they name.
local function read_lines(subjects)
  local ids = {}
  for i, packed in ipairs(call('HMGET', K.line, unpack(subjects))) do
    local line = unpack_line(packed)
    lines[subjects[i]] = line
    if #line.only > 1 then ids[#ids + 1] = line.only end
  end
  read_all(ids)
end

-- The jobs of a line with these places, counted from 0 as Redis does.
local function line_ids(subject, first, last)
  local only = line_of(subject).only
  if only == '*' then return attempt('ZRANGE', K.subject .. subject, first, last) or {} end
  local job = only ~= '' and read(only)
  return job and not ENDED[job.state] and first <= 0 and { only } or {}
end

local function is_in_line(job)
  local only = line_of(job.subject).only
  if only ~= '*' then return only == job.id end
  return (attempt('ZSCORE', K.subject .. job.subject, job.id) or false) ~= false
end

local function join(subject, job)
  attempt('ZADD', K.subject .. subject, job.seq, job.id)
  job.lined = true
  save(job)
end

local function add_to_line(job)
  local line, subject = line_of(job.subject), job.subject
  local others = line_ids(subject, 0, 0)
  if #others == 0 or line.only == job.id then
    line.only = job.id
  else
    if line.only ~= '*' then join(subject, read(line.only)) end
    line.only = '*'
    join(subject, job)
  end
  changed_lines[subject] = true
end

local function leave_line(subject, id)
  local line = line_of(subject)
  if line.only == '*' then
    attempt('ZREM', K.subject .. subject, id)
    if call('EXISTS', K.subject .. subject) == 0 then line.only = '' end
  elseif line.only == id then
    line.only = ''
  end
  changed_lines[subject] = true
end

-- A job was enqueued, or counts as the newest of its subject: the id of the one enqueued before.
local function note_latest(subject, seq, id)
  local line = line_of(subject)
  local before = line.latest
  line.seq, line.latest, changed_lines[subject] = seq, id, true
  return before ~= '' and before ~= id and before or nil
end

-- Forgets the entry of a subject that has no job in its line.
local function forget_line(subject)
  if #line_ids(subject, 0, 0) > 0 then return end
  call('HDEL', K.line, subject)
  lines[subject], changed_lines[subject] = nil, nil
end

local function write_lines()
  local list = {}
  for subject in pairs(changed_lines) do
    local line = lines[subject]
    list[#list + 1] = subject
    list[#list + 1] = struct.pack('<I6', line.seq) .. line.latest .. '|' .. line.only
  end
  in_parts('HSET', K.line, list)
end
