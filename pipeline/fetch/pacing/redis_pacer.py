"""One key, many machines: the pacer's state in Redis, decided there on Redis' own clock by the law of pace.py.

Sends count as they leave, permits whose send has not left count as leaving now. What refusals teach is decided by
Pace itself, kept as its first cells in one key, and known to a script's caller or sent to it. Unused keys vanish.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from math import floor
from typing import Any, Final
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import redis.asyncio
from anyio import current_time
from redis.exceptions import RedisError

from pipeline.errors import ConfigError, PacerLost
from pipeline.fetch.pacing.amounts import CATCH_UP as AMOUNT_CATCH_UP
from pipeline.fetch.pacing.amounts import MINUTE
from pipeline.fetch.pacing.budgets import paced_until
from pipeline.fetch.pacing.pace import CATCH_UP, LATE_MAX, PENDING_LIMIT, POLL, Pace, Pause, Permit
from pipeline.fetch.pacing.redis_scripts import ANSWERED, SETTLE, TAKE
from pipeline.fetch.policy import RateLimit
from pipeline.fetch.redaction import Redactor
from pipeline.records import Advice, Budget

TIMEOUT: Final = 5.0
IDLE: Final = 3_600_000  # milliseconds after which unused keys vanish
PARTS: Final = ("pause", "even", "sends", "pending", "learnt", "amounts", "left")


class RedisPacer:
    """A pacer for all machines that use the same Redis and the same `name`."""

    def __init__(self, client: redis.asyncio.Redis, name: str, limits: RateLimit, redactor: Redactor) -> None:
        self._client = client
        self._redactor = redactor
        self._keys = [f"image-insights:{name}:{part}" for part in PARTS]
        self._take = client.register_script(TAKE)
        self._settle = client.register_script(SETTLE)
        self._answered = client.register_script(ANSWERED)
        self._pace = Pace(memoryview(bytearray(8 * Pace.LEARNT)).cast("d"), limits)
        self._learnt = b""
        self._ahead = 0.0  # Redis' clock less ours

    @property
    def pause(self) -> Pause:
        """See Pacer; Redis' clock is turned into ours."""
        pause = self._pace.current_pause
        return Pause(start=pause.start - self._ahead, until=pause.until - self._ahead)

    async def take(self, amount: float = 0.0) -> Permit | float:
        """See Pacer."""
        name = uuid4().hex
        while True:
            wait, now, learnt, *spent = await self._reply(
                self._take(keys=self._keys, args=self._arguments(name, amount))
            )
            self._ahead = float(now) - current_time()
            if learnt != self._learnt:
                self._learn(learnt)
            elif float(wait) > 0:
                return float(wait)
            else:
                calls, amounts = map(float, spent)
                return Permit(
                    granted_at=current_time(), name=name, amount=amount, counts_at=float(now), spent=(calls, amounts)
                )

    async def settle(self, permit: Permit, *, sent: bool) -> None:
        """See Pacer."""
        arguments: list[Any] = [permit.name, int(sent), IDLE, permit.amount, floor(permit.counts_at)]
        load, now = await self._reply(self._settle(keys=self._keys, args=arguments))
        permit.sent_at, permit.load, permit.counts_at = (current_time(), load, float(now)) if sent else (None, 0, 0.0)

    async def late(self, permit: Permit, seconds: float) -> None:
        """See Pacer."""
        send = {permit.name: min(seconds, LATE_MAX)}
        await self._reply(self._client.zadd(self._keys[2], send, xx=True, incr=True))

    async def answered(self, permit: Permit, amount: float, advice: Advice) -> None:
        """See Pacer."""
        if permit.sent_at is None:
            return
        calls, spent = permit.spent
        said = [*_said("c", advice.calls, permit, calls), *_said("a", advice.amount, permit, spent)]
        more, permit.amount = amount - permit.amount, amount
        most = self._pace.amount_limit(permit.counts_at)
        arguments = [floor(permit.counts_at), f"{more:g}", IDLE, most, *said]
        await self._reply(self._answered(keys=self._keys, args=arguments))

    async def begin_pause(self, seconds: float, refused: Permit | None = None, *, by_amount: bool = False) -> None:
        """See Pacer; a shorter pause never ends a longer one."""

        async def pause(pipe: Any) -> None:
            await self._pause(pipe, seconds, refused, by_amount=by_amount)

        await self._reply(self._client.transaction(pause, self._keys[4]))

    async def _pause(self, pipe: Any, seconds: float, refused: Permit | None, *, by_amount: bool) -> None:
        """Decide on what is learnt so far; redis-py decides again where another machine was faster."""
        self._learn(await pipe.get(self._keys[4]) or b"")
        now = current_time() + self._ahead
        too_much = _last_minute(await pipe.hgetall(self._keys[5]), now) if by_amount else None
        if refused is not None and refused.sent_at is not None:
            refused = replace(refused, sent_at=refused.sent_at + self._ahead)
        self._pace.pause(now, seconds, refused, too_much=too_much)
        pipe.multi()
        pipe.set(self._keys[4], self._pace.cells.tobytes(), px=IDLE)
        pipe.set(self._keys[0], 1, px=max(1, int((self._pace.paused_until - now) * 1000)))

    async def _reply(self, call: Awaitable[Any]) -> Any:
        try:
            return await call
        except RedisError as exc:
            said = self._redactor.clean(str(exc))
            raise PacerLost(f"the Redis of limits.pacer no longer answers ({said}); start it and run again") from None

    def _learn(self, learnt: bytes) -> None:
        self._learnt = learnt
        self._pace.cells.cast("B")[:] = learnt or bytes(self._pace.cells.nbytes)

    def _arguments(self, name: str, amount: float) -> list[Any]:
        now = current_time() + self._ahead
        slots, window = self._pace.allowance(now)
        most = self._pace.amount_limit(now)
        calls = [name, slots, window, CATCH_UP, POLL, PENDING_LIMIT, IDLE, self._learnt]
        return [*calls, amount, most, AMOUNT_CATCH_UP]


def _last_minute(amounts: Mapping[bytes, bytes], now: float) -> float:
    """Return the sum of the seconds that are less than a minute old."""
    return sum(float(amount) for second, amount in amounts.items() if int(second) > now - MINUTE)


def _said(kind: str, budget: Budget | None, permit: Permit, spent: float) -> list[Any]:
    """Return what an answer says of one limit, for the script."""
    if budget is None:
        return []
    return [kind, budget.remaining, paced_until(budget, permit.counts_at), spent]


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
