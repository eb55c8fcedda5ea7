"""What is left of the account's searches, by the free account call (serpapi.com/account-api).

SerpApi answers with 429 both where the searches of this hour are used up and where the account has none left. The
account says which of both it is. The one part of this provider that waits for others.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from anyio import Lock, current_time
from pydantic import SecretStr
from yarl import URL

from pipeline.network.environment import open_session
from pipeline.providers.json_body import parse_json
from pipeline.records import Problem

PATH: Final = "/account.json"
LOOK_AGAIN: Final = 60.0  # seconds; a search that is refused waits as long, so that the next one knows why
_HOUR: Final = 3600.0
_TIMEOUT: Final = aiohttp.ClientTimeout(total=15.0)
_MOST_BYTES: Final = 100_000
_REFUSED: Final = frozenset({401, 403})


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What an account may still do; None where it doesn't say it. `looked_at` is Unix time.

    `is_refused`: the service does not know the key, or lets it do nothing.
    """

    looked_at: float
    is_refused: bool = False
    left: int | None = None
    per_month: int | None = None
    this_hour: int | None = None
    per_hour: int | None = None

    def problem(self, now: float) -> Problem | None:
        """Return why no search can be made at the Unix time `now`, None where nothing is against it."""
        if self.is_refused:
            return Problem(kind="refused", code="key-refused", message="SerpApi refuses this key")
        if self.left == 0:
            plan = f" of the {self.per_month} a month" if self.per_month else ""
            message = f"the account has no searches left{plan}; buy more, or wait for its next month"
            return Problem(kind="quota", code="out-of-searches", message=message)
        next_hour = (self.looked_at // _HOUR + 1) * _HOUR
        if self.per_hour and self.this_hour is not None and self.this_hour >= self.per_hour and now < next_hour:
            message = (
                f"the {self.per_hour} searches that the plan allows in an hour are used up; the next hour has more"
            )
            return Problem(kind="throttled", code="hourly-limit", message=message, retry_after=next_hour - now)
        return None


def allowance_of(status: int, document: Any, now: float) -> Allowance:
    """Return what an answer to the account call says."""
    if status in _REFUSED:
        return Allowance(looked_at=now, is_refused=True)
    if status != 200 or type(document) is not dict:
        return Allowance(looked_at=now)
    this_hour = _count(document, "this_hour_searches")
    return Allowance(
        looked_at=now,
        left=_count(document, "total_searches_left"),
        per_month=_count(document, "searches_per_month"),
        this_hour=_count(document, "last_hour_searches") if this_hour is None else this_hour,
        per_hour=_count(document, "account_rate_limit_per_hour"),
    )


class Account:
    """Looks at the account of a key once a minute, and only while there is something to send."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._lock = Lock()
        self._allowance: Allowance | None = None
        self._due_at = 0.0

    async def problem(self, key: SecretStr) -> Problem | None:
        """Return why no search can be made now; an account that can't be looked at is against nothing."""
        if self._is_due():
            async with self._lock:
                if self._is_due():
                    self._allowance = await self._look(key)
                    self._due_at = current_time() + LOOK_AGAIN
        return self._allowance.problem(time.time()) if self._allowance else None

    def _is_due(self) -> bool:
        return self._allowance is None or current_time() >= self._due_at

    async def _look(self, key: SecretStr) -> Allowance:
        url = URL(self._endpoint + PATH).with_query(api_key=key.get_secret_value())
        try:
            async with (
                open_session(self._endpoint, _TIMEOUT) as session,
                session.get(url, allow_redirects=False) as response,
            ):
                return allowance_of(response.status, parse_json(await _read_capped(response)), time.time())
        except (aiohttp.ClientError, OSError):  # the search that follows will tell
            return Allowance(looked_at=time.time())


async def _read_capped(response: aiohttp.ClientResponse) -> bytes:
    """Read the body, nothing where it is far larger than that of an account."""
    body = b""
    async for part in response.content.iter_any():
        body += part
        if len(body) > _MOST_BYTES:
            return b""
    return body


def _count(document: dict[str, Any], name: str) -> int | None:
    value = document.get(name)
    return value if type(value) is int and value >= 0 else None
