-- Jobs that go well. Comes after upkeep.lua.
--
-- A job is plain while its head says all that matters: it has never failed, is alone in its line, and
-- nobody wants anything else of it. Most jobs are, from their beginning to their end. Such a job goes
-- to its next state by a new head alone, while all other jobs go through `go`, which makes a table of
-- a job. What both do must be the same; the model in Rust takes both for one.

-- The numbers of a head that a run changes, and where those that stay begin.
local RUN, UNCHANGED = '<I6BBHHI6I6', 25

-- Whether a head may be that of a plain job in that state: it has no fields but notes.
local function is_plain(head, state)
  return head and #head > FIXED and head:byte(7) == STATE_CODES[state] and head:byte(8) % NOTED == 0
end

-- The plain jobs of this call, which all go from one state to another: their ids, what their event
-- says of each, and flat their new heads and their places in the list of the new state.
local plain

-- `at` is the place in the list of the new state, as text; `worker` took the jobs.
local function begin_plain(from, to, at, worker)
  plain = { from = from, to = to, at = at, worker = worker, ids = {}, said = {} }
  plain.heads, plain.places = {}, {}
end

-- Takes a plain job on, in its first run. `rest` is what of its head stays. Returns its new head.
local function pass_on(id, token, flags, started, rest, kind, subject)
  local n, heads, places = #plain.ids, plain.heads, plain.places
  local head = struct.pack(RUN, token, STATE_CODES[plain.to], flags, 1, 1, NOW, started) .. rest
  plain.ids[n + 1] = id
  heads[2 * n + 1], heads[2 * n + 2] = id, head
  places[2 * n + 1], places[2 * n + 2] = plain.at, id
  plain.said[n + 1] = '["' .. id .. '","' .. kind .. '","' .. subject .. '",1,1]'
  return head
end

local function write_plain()
  if #plain.ids == 0 then return end
  told[#told + 1] = plain
  in_parts('ZREM', K.state .. plain.from, plain.ids)
  in_parts('ZADD', K.state .. plain.to, plain.places)
  in_parts('HSET', K.job, plain.heads)
end
