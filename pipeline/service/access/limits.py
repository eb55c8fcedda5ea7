"""Who may ask, and how much: API keys, queries per second, queries per month, requests in work at once."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Literal

import anyio
from pydantic import SecretStr

from pipeline.service.access.quota import QuotaBook
from pipeline.service.refusals import forbidden, quota_used_up, too_fast, unauthorized

KEY_HEADER = "Ocp-Apim-Subscription-Key"
# The account of all callers where no keys are known.
EVERYONE = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """How much one key may ask: `qps` queries per second, `per_month` queries; 0 means no limit."""

    qps: float = 0.0
    per_month: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """One key that is known to the service."""

    secret: SecretStr
    allowance: Allowance = field(default_factory=Allowance)
    state: Literal["active", "disabled", "expired"] = "active"


class Window:
    """Admits at most ceil(qps) queries in any window of ceil(qps)/qps seconds: one second for a whole `qps`."""

    def __init__(self, qps: float) -> None:
        self._most = math.ceil(qps)
        self._length = self._most / qps
        self._admitted: deque[float] = deque(maxlen=self._most)

    def admit(self, now: float) -> float:
        """Admit a query at `now` and return 0, or return the seconds until one can be admitted."""
        if len(self._admitted) == self._most and (wait := self._admitted[0] + self._length - now) > 0:
            return wait
        self._admitted.append(now)
        return 0.0


class MonthlyQuota:
    """Counts the queries of one account in the running month (UTC), in the book that outlives this process."""

    def __init__(self, most: int, book: QuotaBook, account: bytes) -> None:
        self._most = most
        self._book = book
        self._account = account

    def admit(self, now: datetime) -> int:
        """Count a query and return 0, or return the seconds until the next month."""
        if self._book.charge(self._account, f"{now:%Y-%m}", self._most):
            return 0
        return math.ceil((_next_month(now) - now).total_seconds())


class Account:
    """The limits of one key at work."""

    def __init__(self, allowance: Allowance, book: QuotaBook, account: bytes) -> None:
        self._window = Window(allowance.qps) if allowance.qps else None
        self._quota = MonthlyQuota(allowance.per_month, book, account) if allowance.per_month else None

    def admit(self, now: float, today: datetime) -> None:
        """Charge one query at the monotonic time `now`; raises Refused (429, 403). A refused query costs nothing."""
        if self._window and (wait := self._window.admit(now)):
            raise too_fast(math.ceil(wait), "The queries per second of this key are used up.")
        if self._quota and (seconds := self._quota.admit(today)):
            raise quota_used_up(seconds)


class Doorman:
    """Checks the key of each request and charges it to the key's account.

    Without keys every caller shares one account of the `default` allowance. Keys are compared by their digests.
    """

    def __init__(
        self,
        keys: tuple[ApiKey, ...],
        default: Allowance,
        book: QuotaBook,
        *,
        clock: Callable[[], float],
        today: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._keys = {_digest(key.secret.get_secret_value()): key for key in keys}
        self._accounts = {digest: Account(key.allowance, book, digest) for digest, key in self._keys.items()}
        self._everyone = Account(default, book, EVERYONE)
        self._clock = clock
        self._today = today

    def admit(self, headers: Mapping[str, str], presented: list[str]) -> None:
        """Let one request in, or raise Refused; `presented` holds every value of the key header."""
        account = self._account(headers, presented) if self._keys else self._everyone
        account.admit(self._clock(), self._today())

    def _account(self, headers: Mapping[str, str], presented: list[str]) -> Account:
        if not presented or not presented[0].strip():
            raise unauthorized("Subscription key is missing.")
        if len(presented) > 1 or "Authorization" in headers:
            raise unauthorized("More than one authentication method was specified.", redundant=True)
        digest = _digest(presented[0].strip())
        if (key := self._keys.get(digest)) is None:
            raise unauthorized("Subscription key is not recognized.")
        if key.state != "active":
            raise forbidden(key.state)
        return self._accounts[digest]


class Workload:
    """Counts the requests in work; more than `most` at once are turned away with a 429 before their body is read."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._now = 0
        self._answered: anyio.Event | None = None

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Hold a place for one request; raises Refused where all are taken."""
        if self._now >= self._most:
            raise too_fast(1, f"{self._now} requests are in work, which is all this service takes at once.")
        self._now += 1
        try:
            yield
        finally:
            self._now -= 1
            if self._answered is not None:
                self._answered.set()

    async def finish(self, seconds: float) -> None:
        """Wait until no request is in work, one whose body is still on its way among them; `seconds` at most."""
        with anyio.move_on_after(seconds):
            while self._now:
                self._answered = anyio.Event()
                await self._answered.wait()


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogateescape")).digest()


def _next_month(now: datetime) -> datetime:
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return first.replace(year=first.year + 1, month=1) if first.month == 12 else first.replace(month=first.month + 1)
