-- Replaces a job's document by the same document sealed with another key.
-- KEYS  1 the queue's prefix
-- ARGV  1 id  2 the document as it was read  3 the new one  4 the version of the stored form
-- Returns 1, or 0 if the job is gone or its document was replaced meanwhile.
-- Cost  3 commands.

local job = read(ARGV[1], true)
if not job or payloads[ARGV[1]] ~= ARGV[2] then return 0 end
job.version = ARGV[4]
save(job, 'payload', ARGV[3])
return 1
