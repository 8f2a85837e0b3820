-- Reads the jobs of an agent, the latest enqueued first.
-- KEYS  1 the queue's prefix
-- ARGV  1 how many  2 agent  3 gateway, or empty if it is not known  4 id of the last job seen, or
--       empty
-- Returns {what follows, fields and values per job, flat, with the document}. What follows is
--   `more`, `end`, `lost` if the next job is gone or was enqueued by an old version, so that older
--   ones cannot be read, or `unknown` if no agent has this id, or if agents of more than one
--   gateway have it.
-- Cost  2 commands per job; without a gateway 1 for each of the 1000 gateways with the latest jobs.

local GATEWAYS = 1000
local most, agent, lane, id = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]

local function only_gateway()
  local one
  for _, candidate in ipairs(call('ZREVRANGE', K.gateways, 0, GATEWAYS - 1)) do
    if call('HEXISTS', K.line, candidate .. '/' .. agent) == 1 then
      if one then return end
      one = candidate
    end
  end
  return one
end

if id ~= '' then
  local last = read(id)
  id = last and (last.before or '')
else
  lane = lane ~= '' and lane or only_gateway()
  id = lane and line_of(lane .. '/' .. agent).latest
  if not id or id == '' then return { 'unknown', {} } end
end
local found = {}
while id and id ~= '' do
  local job = #found < most and read(id)
  if not job then return { #found < most and 'lost' or 'more', found } end
  found[#found + 1], id = shown_job(job, document_of(job)), job.before or ''
end
return { 'end', found }
