-- Replaces a job's document by the same document sealed with another key.
-- KEYS  1 the queue's prefix
-- ARGV  1 id  2 the document as it was read  3 the new one  4 the version of the stored form
-- Returns 1, or 0 if the document is gone or was replaced meanwhile.
-- Cost  3 commands.

local key = K.job .. ARGV[1]
if call('HGET', key, 'payload') ~= ARGV[2] then return 0 end
call('HSET', key, 'payload', ARGV[3])
-- A document that only a record needs has no job any more.
local job = read(ARGV[1])
if job then
  job.version = ARGV[4]
  save(job)
end
return 1
