-- Stores the connection of a gateway without a job. Python and other producers run this script too:
-- docs/protocol.md.
-- KEYS  1 the queue's prefix
-- ARGV  1 author  2 origin  3 reason  4 lane  5 id of the document, a UUID  6 revision or empty
--       7 fingerprint or empty  8 the document: a heartbeat-sync without agents
-- Returns {result, the revision in force or empty}: `changed`; `same`, if the connection before had
--   this fingerprint; `outdated`, if a newer revision is in force, so that nothing was stored.
-- Cost  about 12 commands, and 6 for each job that another connection sets free, at most 20.

local MAX_PAYLOAD = 1088 * 1024
local lane, id, revision, fingerprint, document = unpack(ARGV, 4, 8)
local function unfit()
  local UUID = '^%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$'
  if not (lane or ''):find(UUID) then return 'the lane is no UUID' end
  if not (id or ''):find(UUID) then return 'the id is no UUID' end
  if #revision > 15 or revision:find('%D') then
    return 'the revision is no whole number below 10^15'
  end
  if #fingerprint > 64 or fingerprint:find('%X') then
    return 'the fingerprint is not at most 64 hex digits'
  end
  if not document or #document > MAX_PAYLOAD then
    return 'the document is missing or larger than ' .. MAX_PAYLOAD .. ' bytes'
  end
end
local why = unfit()
if why then return redis.error_reply('PROTOCOL ' .. why) end

local before = connection(lane)
local function in_force()
  local known = connection(lane)
  return known and known.revision and text(known.revision) or ''
end
-- A document that was lost is replaced, whatever its connection was.
if before and attempt('HEXISTS', K.document .. lane, before.document) == 0 then
  before.fingerprint = nil
end
if not layout then create() end
local stored = record_connection({
  id = id,
  lane = lane,
  subject = lane .. '/connection',
  parts = 'c',
  revision = tonumber(revision),
  seq = next_of(K.seq),
}, fingerprint ~= '' and fingerprint or nil)
if not stored then return { 'outdated', in_force() } end
attempt('HSET', K.document .. lane, id, document)
call('ZADD', K.gateways, NOW, lane)
local result = (reconnected[lane] or not before) and 'changed' or 'same'
gateway(lane)
free_reconnected()
audit('put-gateway', 'gateway:' .. lane, before and 'known' or 'unknown', result)
return { result, in_force() }
