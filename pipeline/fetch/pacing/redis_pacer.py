"""One key, many machines: the pacer's state in Redis, decided there on Redis' own clock by the law of pace.py.

Sends count as they leave, permits whose send has not left count as leaving now. What refusals teach is decided by
Pace itself, kept as its first cells in one key, and known to a script's caller or sent to it. Unused keys vanish.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import redis.asyncio
from anyio import current_time
from redis.exceptions import RedisError

from pipeline.errors import ConfigError, PacerLost
from pipeline.fetch.pacing.pace import LATE_MAX, PENDING_LIMIT, POLL, Pace, Pause, Permit, credit
from pipeline.fetch.policy import RateLimit
from pipeline.fetch.redaction import Redactor

TIMEOUT: Final = 5.0
IDLE: Final = 3_600_000  # milliseconds after which unused keys vanish

# KEYS of both scripts: pause, even pace, stamps, pending, learnt.
# ARGV: the permit's name, slots (0 = no rate), window, credit, poll, pending limit (seconds), idle (milliseconds), and
# what the caller knows to be learnt. Returns {seconds to wait as text, "0" when granted; Redis' time; what is learnt}.
TAKE: Final = """
local slots, window, credit = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local learnt = redis.call('GET', KEYS[5]) or ''
local function say(wait) return {string.format('%.6f', wait), string.format('%.6f', now), learnt} end
if learnt ~= ARGV[8] then return say(-1) end
local pause = redis.call('PTTL', KEYS[1])
if pause > 0 then return say(pause / 1000) end
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', string.format('%.6f', now - window))
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', string.format('%.6f', now - tonumber(ARGV[6])))
if slots > 0 then
  local even = tonumber(redis.call('GET', KEYS[2])) or now
  local stamps = redis.call('ZCARD', KEYS[3])
  local surplus = stamps + redis.call('ZCARD', KEYS[4]) - slots
  local wait = even - now
  if surplus >= stamps then wait = math.max(wait, tonumber(ARGV[5]))
  elseif surplus >= 0 then
    wait = math.max(wait, redis.call('ZRANGE', KEYS[3], surplus, surplus, 'WITHSCORES')[2] + window - now)
  end
  if wait > 0 then return say(wait) end
  local next = math.max(even, now - credit) + window / slots
  redis.call('SET', KEYS[2], string.format('%.6f', next), 'PX', ARGV[7])
end
redis.call('ZADD', KEYS[4], string.format('%.6f', now), ARGV[1])
redis.call('PEXPIRE', KEYS[4], ARGV[7])
return say(0)
"""

# ARGV: the permit's name, whether it was sent (1 or 0), idle. Returns the sends in the window before it.
SETTLE: Final = """
redis.call('ZREM', KEYS[4], ARGV[1])
if ARGV[2] == '0' then return 0 end
local time = redis.call('TIME')
redis.call('ZADD', KEYS[3], string.format('%.6f', time[1] + time[2] / 1000000), ARGV[1])
redis.call('PEXPIRE', KEYS[3], ARGV[3])
return redis.call('ZCARD', KEYS[3]) - 1
"""


class RedisPacer:
    """A pacer for all machines that use the same Redis and the same `name`."""

    def __init__(self, client: redis.asyncio.Redis, name: str, limits: RateLimit, redactor: Redactor) -> None:
        self._client = client
        self._redactor = redactor
        self._keys = [f"image-insights:{name}:{part}" for part in ("pause", "even", "sends", "pending", "learnt")]
        self._take = client.register_script(TAKE)
        self._settle = client.register_script(SETTLE)
        self._pace = Pace(memoryview(bytearray(8 * Pace.LEARNT)).cast("d"), limits)
        self._learnt = b""
        self._ahead = 0.0  # Redis' clock less ours

    @property
    def pause(self) -> Pause:
        """See Pacer; Redis' clock is turned into ours."""
        pause = self._pace.current_pause
        return Pause(start=pause.start - self._ahead, until=pause.until - self._ahead)

    async def take(self) -> Permit | float:
        """See Pacer."""
        name = uuid4().hex
        while True:
            wait, now, learnt = await self._answered(self._take(keys=self._keys, args=self._arguments(name)))
            self._ahead = float(now) - current_time()
            if learnt == self._learnt:
                return float(wait) if float(wait) > 0 else Permit(granted_at=current_time(), name=name)
            self._learn(learnt)

    async def settle(self, permit: Permit, *, sent: bool) -> None:
        """See Pacer."""
        load = await self._answered(self._settle(keys=self._keys, args=[permit.name, int(sent), IDLE]))
        permit.sent_at, permit.load = (current_time(), load) if sent else (None, 0)

    async def late(self, permit: Permit, seconds: float) -> None:
        """See Pacer."""
        send = {permit.name: min(seconds, LATE_MAX)}
        await self._answered(self._client.zadd(self._keys[2], send, xx=True, incr=True))

    async def begin_pause(self, seconds: float, refused: Permit | None = None) -> None:
        """See Pacer; a shorter pause never ends a longer one."""
        await self._answered(self._client.transaction(lambda pipe: self._pause(pipe, seconds, refused), self._keys[4]))

    async def _pause(self, pipe: Any, seconds: float, refused: Permit | None) -> None:
        """Decide on what is learnt so far; redis-py decides again where another machine was faster."""
        self._learn(await pipe.get(self._keys[4]) or b"")
        now = current_time() + self._ahead
        if refused is not None and refused.sent_at is not None:
            refused = replace(refused, sent_at=refused.sent_at + self._ahead)
        self._pace.pause(now, seconds, refused)
        pipe.multi()
        pipe.set(self._keys[4], self._pace.cells.tobytes(), px=IDLE)
        pipe.set(self._keys[0], 1, px=max(1, int((self._pace.paused_until - now) * 1000)))

    async def _answered(self, call: Awaitable[Any]) -> Any:
        try:
            return await call
        except RedisError as exc:
            said = self._redactor.clean(str(exc))
            raise PacerLost(f"the Redis of limits.pacer no longer answers ({said}); start it and run again") from None

    def _learn(self, learnt: bytes) -> None:
        self._learnt = learnt
        self._pace.cells.cast("B")[:] = learnt or bytes(self._pace.cells.nbytes)

    def _arguments(self, name: str) -> list[Any]:
        now = current_time() + self._ahead
        slots, window = self._pace.allowance(now)
        return [name, slots, window, credit(slots), POLL, PENDING_LIMIT, IDLE, self._learnt]


@asynccontextmanager
async def redis_pacer(url: str, name: str, limits: RateLimit) -> AsyncIterator[RedisPacer]:
    """Connect to the Redis at `url`; raises ConfigError where none answers there."""
    place = urlsplit(url)
    redactor = Redactor({*filter(None, (place.password, unquote(place.password or "")))})
    try:
        client = redis.asyncio.Redis.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT)
    except ValueError:  # an unknown option; the error may quote the URL
        raise ConfigError("limits.pacer", ["has an option that is none of redis-py's"]) from None
    try:
        await client.ping()
    except RedisError as exc:
        await client.aclose()
        said = redactor.clean(str(exc))
        where = f"{place.hostname}:{place.port or 6379}"
        problem = f"no Redis answers at {where} ({said}); start it or choose another pacer"
        raise ConfigError("limits.pacer", [problem]) from None
    async with client:
        yield RedisPacer(client, name, limits, redactor)
