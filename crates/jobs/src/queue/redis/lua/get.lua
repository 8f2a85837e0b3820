-- Reads one job with all its fields and runs.
-- KEYS  1 the queue's prefix
-- ARGV  1 id
-- Returns {fields and values, runs}, both flat; empty if the job does not exist.
-- Cost  4 commands.

local job = read(ARGV[1])
if not job then return { {}, {} } end
local fields, runs = shown_job(job, document_of(job)), {}
for run in (out_of(job.id):match('\n(.*)$') or ''):gmatch('[^\n]+') do
  runs[#runs + 1] = run
end
return { fields, runs }
