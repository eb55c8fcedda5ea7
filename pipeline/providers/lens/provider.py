"""The provider for Google Lens at SerpApi: pictures by their public URLs, one search for each type of results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from pipeline.network.waits import WAIT_HEADERS, wait_of_headers
from pipeline.providers.lens.account import Account
from pipeline.providers.lens.read import is_counted, read_answer, search_id
from pipeline.providers.lens.searches import build_searches, search_type, with_key
from pipeline.providers.lens.settings import LensSettings
from pipeline.records import Advice, Answer, Limits, Outcome, Prepared, Problem, Reading, Request, Row, Usage

SERVICE_ID: Final = "serpapi.com/google_lens"
_HOST: Final = "serpapi.com"
_SEARCHES_PER_PRICE: Final = 1000
# Only URLs are sent. A local file is looked at all the same, to be paid for only if it is a picture.
LIMITS: Final = Limits(max_bytes=20_000_000, max_side_px=16_000, forms=frozenset({"url"}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lens:
    """Google Lens at SerpApi (a Provider, and a TokenService that looks at the account before it lets a key go)."""

    endpoint: str
    settings: LensSettings
    account: Account

    name: str = "lens"
    limits: Limits = LIMITS
    kept_headers: Sequence[str] = WAIT_HEADERS
    client_state: str | None = None

    @property
    def service_id(self) -> str:
        """Names the service."""
        return SERVICE_ID if urlsplit(self.endpoint).hostname == _HOST else self.endpoint

    def requests(self, row: Row, prepared: Prepared | None) -> Sequence[Request]:
        """Build one search for each type; raises RequestError where the picture has no public URL."""
        return build_searches(row, prepared, self.settings)

    def max_calls(self, _row: Row) -> int:
        """Return the number of searches."""
        return len(self.settings.types)

    async def token(self, key: SecretStr) -> SecretStr | Problem:
        """Return the key, or why its account can make no search now."""
        return await self.account.problem(key) or key

    def authorise(self, request: Request, key: SecretStr) -> Request:
        """Return the request with the key in its query: the service takes it nowhere else."""
        return replace(request, target=with_key(request, key.get_secret_value()))

    def secrets(self, key: SecretStr) -> Sequence[str]:
        """Return the key, from which nothing else is derived."""
        return (key.get_secret_value(),)

    def advice(self, answer: Answer) -> Advice:
        """Return what Retry-After says; how many searches are left is known from the account only."""
        return Advice(wait=wait_of_headers(answer.headers, answer.asked_at + answer.ms / 1000))

    def estimate(self, request: Request) -> Usage:
        """Return one search of the request's type."""
        kind, prices = search_type(request), self.settings.prices
        cost = prices.searches / _SEARCHES_PER_PRICE
        return Usage(units={kind: 1}, cost=cost, unit_costs={kind: cost}, currency=prices.currency)

    def usage(self, request: Request, answer: Answer) -> Usage:
        """Return the same for a search that succeeded, nothing for others.

        Searches that the service answers from its cache are free, but don't say so: a count is too high, never too low.
        """
        return self.estimate(request) if is_counted(answer) else Usage(cost=0.0, currency=self.settings.prices.currency)

    def trace_id(self, answer: Answer) -> str | None:
        """Return the id of the search."""
        return search_id(answer)

    def read(self, request: Request, answer: Answer) -> Outcome:
        """Understand one answer; never raises, whatever the bytes are."""
        insights = read_answer(answer, search_type(request))
        return insights if isinstance(insights, Problem) else Reading(insights=insights)


def make_lens(settings: LensSettings, endpoint: str) -> Lens:
    """Return the provider for the service at `endpoint`."""
    return Lens(endpoint=endpoint, settings=settings, account=Account(endpoint))
