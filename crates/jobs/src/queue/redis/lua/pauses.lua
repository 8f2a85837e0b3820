-- Brings the pauses of a later shard to the state of the first, where they are made and ended.
-- KEYS  1 the shard's prefix
-- ARGV  1 the version that the caller found here  2 the version of the first shard, then per pause:
--       scope, pause as JSON
-- Returns nothing. If another caller has changed the version meanwhile, this changes nothing.
-- Cost  3 commands, 1 for each pause, and those of `resume_jobs` for each that has ended.

if (call('GET', K.pauses) or '') ~= ARGV[1] then return end
local paused = {}
for i = 3, #ARGV, 2 do
  paused[ARGV[i]] = ARGV[i + 1]
  call('HSET', K.paused, ARGV[i], ARGV[i + 1])
end
for _, scope in ipairs(call('HKEYS', K.paused)) do
  if not paused[scope] then
    call('HDEL', K.paused, scope)
    resume_jobs(scope)
  end
end
call('SET', K.pauses, ARGV[2])
