"""A fake of SerpApi's Google Lens and account API over real sockets, strict, with faults.

Beside tests, it lets you try the provider without a key of SerpApi's (docs/providers.md):
    python -m tests.providers.lens.fake_serpapi --port 8089
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from tests.providers.fakes import serving
from tests.providers.lens.lens_answers import empty_answer, metadata, search_answer

KEY: Final = "fake-serpapi-key-0123456789"
Json = dict[str, Any]
INVALID_KEY: Final = "Invalid API key. Your API key should be here: https://serpapi.com/manage-api-key"
OUT_OF_SEARCHES: Final = "Your account has run out of searches."
TOO_FAST: Final = "You are sending requests too fast, you've exceeded the hourly throughput limit."
_TYPES: Final = {"all", "visual_matches", "products", "exact_matches", "about_this_image"}
_WITH_WORDS: Final = {"all", "visual_matches", "products"}
# serpapi.com/google-lens-api; the clients add `output`.
_PARAMETERS: Final = {
    "engine", "url", "type", "q", "hl", "country", "safe", "no_cache", "async", "api_key", "output", "zero_trace",
}  # fmt: skip


@dataclass(slots=True)
class FakeSerpApi:
    """The service: who may call, what is left, what goes wrong on demand, and what it saw.

    `left` searches are left in the month, and `per_hour` are allowed in this hour; None for any number. `faults` are
    taken one a search: `status` with `error`, `error` alone (inside a 200), `drop` to close the connection without an
    answer, `echo` to send the key back in the error. Pictures whose URL is `unknown` bring no results.
    """

    keys: set[str] = field(default_factory=lambda: {KEY})
    left: int | None = None
    per_hour: int | None = None
    this_hour: int = 0
    has_account: bool = True
    faults: deque[Json] = field(default_factory=deque)
    unknown: set[str] = field(default_factory=set)
    latency: float = 0.0
    journal: Path | None = None
    searches: list[Json] = field(default_factory=list)
    account_calls: int = 0
    endpoint: str = ""

    def app(self) -> web.Application:
        """Return the application that serves it."""
        app = web.Application()
        for path in ("/search", "/search.json"):
            app.router.add_get(path, self._search)
        for path in ("/account", "/account.json"):
            app.router.add_get(path, self._account)
        return app

    async def _account(self, request: web.Request) -> web.Response:
        self.account_calls += 1
        if not self.has_account:
            return web.Response(status=404, text="<html>404</html>", content_type="text/html")
        key = request.query.get("api_key", "")
        if key not in self.keys:
            return web.json_response({"error": INVALID_KEY}, status=401)
        left = 5000 if self.left is None else self.left
        return web.json_response(
            {
                "account_id": "5ac54d6adefb2f1dba1663f5",
                "api_key": key,
                "account_email": "demo@example.com",
                "account_status": "Active",
                "plan_name": "Developer Plan",
                "searches_per_month": 5000,
                "plan_searches_left": left,
                "extra_credits": 0,
                "total_searches_left": left,
                "this_month_usage": 5000 - left,
                "this_hour_searches": self.this_hour,
                "last_hour_searches": self.this_hour,
                "account_rate_limit_per_hour": 1000 if self.per_hour is None else self.per_hour,
            }
        )

    async def _search(self, request: web.Request) -> web.StreamResponse:
        arrived = time.time()
        await asyncio.sleep(self.latency)
        fault = self.faults.popleft() if self.faults else {}
        query = dict(request.query)
        status, answer = self._judge(query, fault)
        if "echo" in fault:
            answer["error"] += f" {query['api_key']}"
        self._note({"query": query, "at": arrived, "status": 0 if "drop" in fault else status})
        if "drop" in fault:
            assert request.transport is not None
            request.transport.abort()
        text = fault.get("text") or json.dumps(answer, indent=2)
        return web.Response(status=status, text=text, content_type="application/json", headers=fault.get("headers"))

    def _judge(self, query: Json, fault: Json) -> tuple[int, Json]:
        """Return the status and the answer, and count a search that succeeds."""
        if query.get("api_key") not in self.keys:
            return 401, {"error": INVALID_KEY}
        if "status" in fault:
            return fault["status"], {"error": fault.get("error", "")}
        if said := _problem_of(query):
            return 400, {"error": said}
        if self.left == 0:
            return 429, {"error": OUT_OF_SEARCHES}
        if self.per_hour is not None and self.this_hour >= self.per_hour:
            return 429, {"error": TOO_FAST}
        if "error" in fault:
            return 200, {**metadata(query["url"], "Error"), "error": fault["error"]}
        self.this_hour += 1
        self.left = None if self.left is None else self.left - 1
        if query["url"] in self.unknown:
            return 200, empty_answer(query["url"])
        return 200, search_answer(query.get("type", "all"), query["url"])

    def _note(self, seen: Json) -> None:
        self.searches.append(seen)
        if self.journal is not None:
            with self.journal.open("a") as file:
                file.write(json.dumps(seen) + "\n")


def _problem_of(query: Json) -> str:
    """Return what the service says of a search that it does not understand, nothing where it does."""
    if unknown := set(query) - _PARAMETERS:
        return f"Unsupported `{min(unknown)}` parameter."
    if query.get("engine") != "google_lens":
        return f"Unsupported `{query.get('engine')}` search engine."
    if not query.get("url", "").startswith(("http://", "https://")):
        return "Missing query `url` parameter."
    kind = query.get("type", "all")
    if kind not in _TYPES:
        return f"Unsupported `{kind}` type parameter."
    if "q" in query and kind not in _WITH_WORDS:
        return "Unsupported `q` parameter."
    return ""


async def _main() -> None:
    parser = argparse.ArgumentParser(description="A fake of SerpApi's Google Lens on loopback.")
    parser.add_argument("--port", type=int, default=8089)
    parser.add_argument("--key", default=KEY, help=f"the key that is accepted ({KEY})")
    parser.add_argument("--left", type=int, default=None, help="searches that the account has left")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that each answer takes")
    parser.add_argument("--journal", type=Path, default=None, help="a file for what arrives, one JSON object a line")
    options = parser.parse_args()
    fake = FakeSerpApi(keys={options.key}, left=options.left, latency=options.latency, journal=options.journal)
    async with serving(fake, options.port):
        print(json.dumps({"endpoint": fake.endpoint}), flush=True)  # noqa: T201 - who started it reads this
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
