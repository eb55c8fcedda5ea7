"""One key, many machines: the pacer's state in Redis, decided by one script there on Redis' own clock.

The script keeps the even pace and the strict window over permits, not over sends as they leave: what the way to the
service jitters must fit into the guard. A pause is a key that expires by itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

import redis.asyncio
from anyio import current_time
from redis.exceptions import RedisError

from pipeline.errors import ConfigError, PacerLost
from pipeline.fetch.pace import CATCH_UP, TIMER, Permit
from pipeline.fetch.policy import RateLimit

TIMEOUT: Final = 5.0
IDLE: Final = 3_600_000  # milliseconds after which unused keys vanish

# KEYS: pause, even pace, stamps. ARGV: slots, window, credit (seconds; slots 0 = no rate), idle (milliseconds).
# Returns the seconds to wait as text, "0" when the send is granted.
SCRIPT: Final = """
local pause = redis.call('PTTL', KEYS[1])
if pause > 0 then return tostring(pause / 1000) end
local slots, window, credit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if slots == 0 then return '0' end
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local even = tonumber(redis.call('GET', KEYS[2])) or now
local wait = even - now
if redis.call('LLEN', KEYS[3]) >= slots then
  wait = math.max(wait, tonumber(redis.call('LINDEX', KEYS[3], slots - 1)) + window - now)
end
if wait > 0 then return string.format('%.6f', wait) end
redis.call('SET', KEYS[2], string.format('%.6f', math.max(even, now - credit) + window / slots), 'PX', ARGV[4])
redis.call('LPUSH', KEYS[3], string.format('%.6f', now))
redis.call('LTRIM', KEYS[3], 0, slots - 1)
redis.call('PEXPIRE', KEYS[3], ARGV[4])
return '0'
"""


class RedisPacer:
    """A pacer for all machines that use the same Redis and the same `name`."""

    def __init__(self, client: redis.asyncio.Redis, name: str, limits: RateLimit) -> None:
        self._client = client
        self._keys = [f"image-insights:{name}:{part}" for part in ("pause", "even", "stamps")]
        self._arguments = _arguments(limits)
        self._script = client.register_script(SCRIPT)

    async def take(self) -> Permit | float:
        """See Pacer."""
        try:
            wait = float(await self._script(keys=self._keys, args=self._arguments))
        except RedisError as exc:
            raise PacerLost(f"the Redis of limits.pacer no longer answers ({exc}); start it and run again") from exc
        return wait if wait > 0 else Permit(granted_at=current_time())

    async def settle(self, permit: Permit, *, sent: bool) -> None:
        """Note it in the permit alone: in Redis the grant counts as the send."""
        permit.sent_at = current_time() if sent else None

    async def pause(self, seconds: float, refused: Permit | None = None) -> None:
        """See Pacer; a shorter pause never ends a longer one, and the limit stays as configured."""
        ms = max(1, int(seconds * 1000))
        try:
            if not await self._client.set(self._keys[0], 1, px=ms, nx=True):
                await self._client.pexpire(self._keys[0], ms, gt=True)
        except RedisError as exc:
            raise PacerLost(f"the Redis of limits.pacer no longer answers ({exc}); start it and run again") from exc


def _arguments(limits: RateLimit) -> list[float]:
    slots = max(1, int(limits.qps)) if limits.qps else 0
    window = (1 + limits.guard) / min(1.0, limits.qps or 1.0)
    return [slots, window, CATCH_UP if slots > 20 else TIMER, IDLE]


@asynccontextmanager
async def redis_pacer(url: str, name: str, limits: RateLimit) -> AsyncIterator[RedisPacer]:
    """Connect to the Redis at `url`; raises ConfigError where none answers there."""
    client = redis.asyncio.Redis.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT)
    try:
        await client.ping()
    except RedisError as exc:
        await client.aclose()
        place = urlsplit(url)
        problem = f"no Redis answers at {place.hostname}:{place.port or 6379} ({exc}); start it or choose another pacer"
        raise ConfigError("limits.pacer", [problem]) from exc
    async with client:
        yield RedisPacer(client, name, limits)
