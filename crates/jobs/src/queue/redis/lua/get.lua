-- Reads one job with all its fields and runs.
-- KEYS  1 the queue's prefix
-- ARGV  1 id
-- Returns {fields and values, runs}, both flat; empty if the job does not exist.
-- Cost  2 commands.

local job = read(ARGV[1])
if not job then return { {}, {} } end
local fields, runs = shown(job), {}
local payload, report, history =
  unpack(call('HMGET', K.job .. ARGV[1], 'payload', 'report', 'history'))
for name, value in pairs({ payload = payload, report = report }) do
  if value then
    fields[#fields + 1], fields[#fields + 2] = name, value
  end
end
for run in (history or ''):gmatch('[^\n]+') do
  runs[#runs + 1] = run
end
return { fields, runs }
