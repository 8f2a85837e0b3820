-- Records what a run is about to do to its gateway, before it does it.
-- KEYS  1 the queue's prefix
-- ARGV  1 worker  2 all effects of the jobs so far (JSON), then per lease: id, token
-- Returns 1 if it was recorded; 0 if one of the leases belongs to another worker now, and then
--   nothing was recorded.
-- Cost  2 commands per lease; the caller sends at most 32.

local worker, effects, held = ARGV[1], ARGV[2], {}
for i = 3, #ARGV, 2 do
  local job = read(ARGV[i])
  if not holds(job, worker, tonumber(ARGV[i + 1])) then return 0 end
  held[#held + 1] = job
end
for _, job in ipairs(held) do
  job.effects = effects
  save(job)
end
return 1
