-- Replaces a job's document by the same document sealed with another key.
-- KEYS  1 the queue's prefix
-- ARGV  1 lane  2 id  3 the document as it was read  4 the new one  5 the version of the stored
--       form
-- Returns 1, or 0 if the document is gone or was replaced meanwhile.
-- Cost  3 commands.

local id, key = ARGV[2], K.document .. ARGV[1]
if call('HGET', key, id) ~= ARGV[3] then return 0 end
call('HSET', key, id, ARGV[4])
-- A document that only a record needs has no job any more.
local job = read(id)
if job then
  job.version = ARGV[5]
  save(job)
end
return 1
