"""Authenticates each request by its API key, and charges it to the rate limit and the monthly quota of that key."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Literal

from pydantic import SecretStr

from pipeline.service.access.monthly_quota import MonthlyQuota, UsageStore
from pipeline.service.access.rate_limit import SlidingWindow
from pipeline.service.refusals import forbidden, quota_used_up, too_many_requests, unauthorized

# The account of all callers if the service has no keys.
SHARED_ACCOUNT = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """The limits of one key: `qps` queries per second, `per_month` queries; 0 means no limit."""

    qps: float = 0.0
    per_month: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """One API key of the service."""

    secret: SecretStr
    allowance: Allowance = field(default_factory=Allowance)
    state: Literal["active", "disabled", "expired"] = "active"


class Account:
    """The usage of one key, and its limits; `digest` is that of the key, SHARED_ACCOUNT without keys."""

    def __init__(self, allowance: Allowance, store: UsageStore, account: bytes) -> None:
        self.digest = account
        self._window = SlidingWindow(allowance.qps) if allowance.qps else None
        self._quota = MonthlyQuota(allowance.per_month, store, account) if allowance.per_month else None

    def charge(self, now: float, today: datetime) -> None:
        """Charge one query at the monotonic time `now`; raises Refused (429, 403), and then charges nothing."""
        if self._window and (wait := self._window.admit(now)):
            raise too_many_requests(math.ceil(wait), "The queries per second of this key are used up.")
        if self._quota and (seconds := self._quota.admit(today)):
            raise quota_used_up(seconds)


class Authenticator:
    """Checks the key of each request, and charges the key's account.

    Without keys all callers share one account with the `default` allowance. Keys are compared by their digests.
    """

    def __init__(
        self,
        keys: tuple[ApiKey, ...],
        default: Allowance,
        store: UsageStore,
        *,
        clock: Callable[[], float],
        today: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._keys = {_digest(key.secret.get_secret_value()): key for key in keys}
        self._accounts = {digest: Account(key.allowance, store, digest) for digest, key in self._keys.items()}
        self._shared = Account(default, store, SHARED_ACCOUNT)
        self._clock = clock
        self._today = today

    def charge(self, account: Account) -> None:
        """Charge one request to an account, or raise Refused."""
        account.charge(self._clock(), self._today())

    def authenticate(self, headers: Mapping[str, str], keys: list[str]) -> Account:
        """Return the account of a request, or raise Refused; `keys` has every value of the key header."""
        if not self._keys:
            return self._shared
        if not keys or not keys[0].strip():
            raise unauthorized("Subscription key is missing.")
        if len(keys) > 1 or "Authorization" in headers:
            raise unauthorized("More than one authentication method was specified.", redundant=True)
        digest = _digest(keys[0].strip())
        if (key := self._keys.get(digest)) is None:
            raise unauthorized("Subscription key is not recognized.")
        if key.state != "active":
            raise forbidden(key.state)
        return self._accounts[digest]


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogateescape")).digest()
