-- Reads one job with everything that is known of it.
-- KEYS  1 the queue's prefix
-- ARGV  1 id
-- Returns {fields and values, runs}, both flat; none if it is not there.
-- Cost  2 commands.

local layout = redis.call('GET', KEYS[1] .. ':layout')
if layout and layout ~= '1' and layout ~= '2' then
  return redis.error_reply('LAYOUT the queue is of layout ' .. layout .. ', this program knows 2')
end
local job, payload, report, history =
  unpack(redis.call('HMGET', KEYS[1] .. ':job:' .. ARGV[1], 'job', 'payload', 'report', 'history'))
if not job then return { {}, {} } end
local fields, runs = {}, {}
local function show(name, value)
  if type(value) == 'number' then value = string.format('%.0f', value) end
  if value then
    fields[#fields + 1], fields[#fields + 2] = name, value
  end
end
for name, value in pairs(cmsgpack.unpack(job)) do
  show(name, value)
end
show('payload', payload)
show('report', report)
for run in (history or ''):gmatch('[^\n]+') do
  runs[#runs + 1] = run
end
return { fields, runs }
