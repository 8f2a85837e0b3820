-- Counts the jobs in each state.
-- KEYS  1 the queue's prefix
-- Returns names and counts, flat.
-- Cost  10 commands.

local answer = {}
for state in pairs(NEXT) do
  if state ~= 'new' then
    answer[#answer + 1] = state
    answer[#answer + 1] = call('ZCARD', K.state .. state)
  end
end
return answer
