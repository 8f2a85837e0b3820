-- Searches lists of jobs, one after the other, for those whose stored form contains some texts.
-- These may be more than the search matches, so the caller checks them again.
-- KEYS  1 the queue's prefix
-- ARGV  1 how many to find  2 how many to examine  3 a gateway or empty: states in which it has no
--       jobs are skipped  4 whether to search documents too: 0, 1, or 2 for in lower case as well
--       5 the prefix of ids, or empty  6, 7 score and id of the last job seen in the first list, or
--       both empty  8 how many lists, then the lists: `+` for lowest scores first or `-`, and
--       `state:…` or `group:…`; then the texts
-- Returns {number of the list that it stopped in or 0 if it came to the end, score and id of the
--   last job seen there, how many were examined, fields and values per job, flat, with the
--   document, and per job the number of its list and its score, flat}.
-- Cost  3 commands per list, and 1 per job examined; 20 to find the position to begin at, 1 per job
--   found. It stops early when the jobs are large.

local CHUNK, BYTES, PASSED = 100, 2 * 1024 * 1024, 8
local to_find, to_look, lane, with_documents, prefix =
  tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4] ~= '0', ARGV[5]
local LISTS = tonumber(ARGV[8])
local NEEDLES = #ARGV - 8 - LISTS
local looked, passed, bytes, found, places = 0, 0, 0, {}, {}

-- Not by `gateway`: what only reads must not write.
local packed = lane ~= '' and call('HGET', K.gateway, lane)
local known = packed and unpack_map(packed) or {}

-- How many jobs of a list stand before that place; with the one that stands there, if it does.
local function before(key, score, id, inclusive)
  local low = call('ZCOUNT', key, '-inf', '(' .. score)
  local high = low + call('ZCOUNT', key, score, score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local there = call('ZRANGE', key, middle, middle)[1]
    if there < id or inclusive and there == id then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end

local function holds_all(stored)
  if NEEDLES == 0 then return true end
  if ARGV[4] == '2' then stored = stored:lower() end
  for i = 9 + LISTS, #ARGV do
    if not stored:find(ARGV[i], 1, true) then return false end
  end
  return true
end

-- Returns whether it was found.
local function look_at(id)
  if prefix ~= '' and id:sub(1, #prefix) ~= prefix then
    passed = passed + 1
    return
  end
  looked = looked + 1
  local job = read(id)
  if not job then return end
  local document = with_documents and document_of(job)
  local stored =
    table.concat({ job.kind, job.subject, call('HGET', K.more, id) or '', document or '' })
  jobs[id] = nil
  bytes = bytes + FIXED + #stored
  if not holds_all(stored) then return end
  document = document or document_of(job) or ''
  bytes = bytes + #document
  found[#found + 1] = shown_job(job, document)
  return true
end

local function is_enough()
  return #found >= to_find or looked + passed / PASSED >= to_look or bytes >= BYTES
end

-- The next jobs of a list, with scores: those from that place on, or those before it.
local function chunk(key, down, place)
  if not down then return call('ZRANGE', key, place, place + CHUNK - 1, 'WITHSCORES') end
  local first = math.max(place - CHUNK, 0)
  local upwards, downwards =
    place > 0 and call('ZRANGE', key, first, place - 1, 'WITHSCORES') or {}, {}
  for i = #upwards - 1, 1, -2 do
    downwards[#downwards + 1], downwards[#downwards + 2] = upwards[i], upwards[i + 1]
  end
  return downwards
end

-- Returns the score and id of the last one that was seen, or nothing if it came to the end.
local function look_through(list, key, down, place)
  while true do
    local some = chunk(key, down, place)
    if prefix == '' then
      local ids = {}
      for i = 1, #some, 2 do
        ids[#ids + 1] = some[i]
      end
      read_all(ids)
    end
    for i = 1, #some, 2 do
      if look_at(some[i]) then
        places[#places + 1], places[#places + 2] = list, some[i + 1]
      end
      if is_enough() then return some[i + 1], some[i] end
    end
    if #some < 2 * CHUNK then return end
    place = place + (down and -CHUNK or CHUNK)
  end
end

for i = 1, LISTS do
  local down, sort, name = ARGV[8 + i]:sub(1, 1) == '-', ARGV[8 + i]:match('^.(%a+):(.*)$')
  if sort ~= 'state' or lane == '' or known[name] then
    local key, place = (sort == 'group' and K.group or K.state) .. name, down and math.huge or 0
    if i == 1 and ARGV[7] ~= '' then place = before(key, ARGV[6], ARGV[7], not down) end
    if place == math.huge then place = call('ZCARD', key) end
    local score, id = look_through(i, key, down, place)
    if id then return { i, score, id, looked, found, places } end
  end
end
return { 0, '0', '', looked, found, places }
