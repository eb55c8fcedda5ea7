"""What Redis decides by itself, on its own clock: the law of pace.py as scripts that run there whole.

KEYS of all: pause, even pace, stamps, pending, learnt, amounts by second, what is left of the limits. The last one is a
hash whose fields begin with c (calls) or a (amount): left, until, at, last and spent, as in budgets.py, and `even`.
"""

from __future__ import annotations

from typing import Final

# ARGV: the permit's name, slots (0 = no rate), window, credit, poll, pending limit (seconds), idle (milliseconds), what
# the caller knows to be learnt, the amount, the amount that a minute may have (0 = any), and its credit.
# Returns {seconds to wait as text, "0" when granted; Redis' time; what is learnt; all calls and all amounts so far}.
TAKE: Final = """
local slots, window, credit = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local amount, most = tonumber(ARGV[9]), tonumber(ARGV[10])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local learnt = redis.call('GET', KEYS[5]) or ''
local function text(number) return string.format('%.6f', number) end
local function say(wait)
  local spent = redis.call('HMGET', KEYS[7], 'cspent', 'aspent')
  return {text(wait), text(now), learnt, spent[1] or '0', spent[2] or '0'}
end
local function left(kind, needed)
  local known = redis.call('HMGET', KEYS[7], kind .. 'left', kind .. 'until', kind .. 'at', kind .. 'last')
  local rest, till = tonumber(known[1]) or 0, tonumber(known[2]) or 0
  local at, last = tonumber(known[3]) or 0, tonumber(known[4]) or 0
  if needed <= 0 or now >= till then return 0 end
  if needed > rest then return till - now end
  return at + last / (last + rest) * (till - at) - now
end
local function spend(kind, used)
  redis.call('HINCRBYFLOAT', KEYS[7], kind .. 'left', text(-used))
  redis.call('HINCRBYFLOAT', KEYS[7], kind .. 'spent', text(used))
  redis.call('HSET', KEYS[7], kind .. 'at', text(now), kind .. 'last', text(used))
end
local function room()
  local sums, total, second = {}, 0, math.floor(now)
  local all = redis.call('HGETALL', KEYS[6])
  for i = 1, #all, 2 do
    local at, sum = tonumber(all[i]), tonumber(all[i + 1])
    if at > second - 61 then
      total = total + sum
      table.insert(sums, {at, sum})
    else redis.call('HDEL', KEYS[6], all[i]) end
  end
  if most <= 0 then return 0 end
  local even = tonumber(redis.call('HGET', KEYS[7], 'even') or 0) - now
  local excess = total + math.min(amount, most) - most
  if excess <= 0 then return even end
  table.sort(sums, function(one, other) return one[1] < other[1] end)
  for _, sum in ipairs(sums) do
    excess = excess - sum[2]
    if excess <= 0 then return math.max(even, sum[1] + 61 - now) end
  end
  return math.max(even, second + 61 - now)
end
if learnt ~= ARGV[8] then return say(-1) end
local pause = redis.call('PTTL', KEYS[1])
if pause > 0 then return say(pause / 1000) end
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', text(now - window))
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', text(now - tonumber(ARGV[6])))
local even = tonumber(redis.call('GET', KEYS[2])) or now
local wait = math.max(left('c', 1), left('a', amount))
if amount > 0 then wait = math.max(wait, room()) end
if slots > 0 then
  local stamps = redis.call('ZCARD', KEYS[3])
  local surplus = stamps + redis.call('ZCARD', KEYS[4]) - slots
  wait = math.max(wait, even - now)
  if surplus >= stamps then wait = math.max(wait, tonumber(ARGV[5]))
  elseif surplus >= 0 then
    wait = math.max(wait, redis.call('ZRANGE', KEYS[3], surplus, surplus, 'WITHSCORES')[2] + window - now)
  end
end
if wait > 0 then return say(wait) end
if slots > 0 then
  redis.call('SET', KEYS[2], text(math.max(even, now - credit) + window / slots), 'PX', ARGV[7])
end
if amount > 0 then
  if most > 0 then
    local paced = math.max(tonumber(redis.call('HGET', KEYS[7], 'even') or 0), now - tonumber(ARGV[11]))
    redis.call('HSET', KEYS[7], 'even', text(paced + math.min(amount, most) / most * 60))
  end
  redis.call('HINCRBYFLOAT', KEYS[6], math.floor(now), ARGV[9])
  redis.call('PEXPIRE', KEYS[6], ARGV[7])
end
spend('c', 1)
spend('a', amount)
redis.call('PEXPIRE', KEYS[7], ARGV[7])
redis.call('ZADD', KEYS[4], text(now), ARGV[1])
redis.call('PEXPIRE', KEYS[4], ARGV[7])
return say(0)
"""

# ARGV: the permit's name, whether it was sent (1 or 0), idle, the amount, and the second at which it counts so far.
# Returns {the sends in the window before it; Redis' time}.
SETTLE: Final = """
local amount, second = tonumber(ARGV[4]), ARGV[5]
local time = redis.call('TIME')
redis.call('ZREM', KEYS[4], ARGV[1])
if amount > 0 then redis.call('HINCRBYFLOAT', KEYS[6], second, -amount) end
if ARGV[2] == '0' then
  redis.call('HINCRBYFLOAT', KEYS[7], 'cleft', 1)
  redis.call('HINCRBYFLOAT', KEYS[7], 'cspent', -1)
  redis.call('HINCRBYFLOAT', KEYS[7], 'aleft', amount)
  redis.call('HINCRBYFLOAT', KEYS[7], 'aspent', -amount)
  return {0, '0'}
end
if amount > 0 then redis.call('HINCRBYFLOAT', KEYS[6], time[1], amount) end
local now = string.format('%.6f', time[1] + time[2] / 1000000)
redis.call('ZADD', KEYS[3], now, ARGV[1])
redis.call('PEXPIRE', KEYS[3], ARGV[3])
return {redis.call('ZCARD', KEYS[3]) - 1, now}
"""

# ARGV: the second at which the amount counts, by how much it was more than expected, idle, what a minute may have (0 =
# any); then for each limit that the answer speaks of: c or a, what is left, when it is whole again (0 = there is
# plenty), and what was spent until then.
ANSWERED: Final = """
if ARGV[2] ~= '0' then
  redis.call('HINCRBYFLOAT', KEYS[6], ARGV[1], ARGV[2])
  redis.call('HINCRBYFLOAT', KEYS[7], 'aleft', -tonumber(ARGV[2]))
  redis.call('HINCRBYFLOAT', KEYS[7], 'aspent', ARGV[2])
  if tonumber(ARGV[4]) > 0 then redis.call('HINCRBYFLOAT', KEYS[7], 'even', ARGV[2] / ARGV[4] * 60) end
end
for i = 5, #ARGV, 4 do
  local spent = tonumber(redis.call('HGET', KEYS[7], ARGV[i] .. 'spent') or 0)
  local rest = string.format('%.6f', ARGV[i + 1] - (spent - ARGV[i + 3]))
  redis.call('HSET', KEYS[7], ARGV[i] .. 'left', rest, ARGV[i] .. 'until', ARGV[i + 2])
end
redis.call('PEXPIRE', KEYS[6], ARGV[3])
redis.call('PEXPIRE', KEYS[7], ARGV[3])
"""
