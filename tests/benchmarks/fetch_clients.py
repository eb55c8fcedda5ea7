"""Those who ask, each in a process of its own: ours, a plain loop, what one writes in an hour, and Scrapy.

"ours" does all that the pipeline does between a request and a line: pace, send, read with the provider, build the
record, encode it. "fetch" is the same without reading: it parses and encodes the answer as the other ones do.

Usage: fetch_clients.py NAME ENDPOINT QPS ROWS FOLDER. Prints rows answered, CPU seconds and peak memory, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson

BODY = bytes(200_000)
AT_ONCE = 64
UNPACED_AT_ONCE = 8
OURS = (
    "pipeline.fetch.fetcher", "pipeline.fetch.pacing.open", "pipeline.providers.bing.provider",
    "pipeline.sink.output_lines",
)  # fmt: skip
WARM = {"scrapy": ("scrapy.crawler",), "ours": OURS, "fetch": OURS}


def record(row: int, body: bytes) -> bytes:
    """Parse an answer and encode it again: the least that anyone does."""
    return orjson.dumps({"id": row, "answer": orjson.loads(body)})


async def ours(endpoint: str, qps: float, rows: int, folder: Path, *, reads: bool = True) -> int:
    """Ask through the pipeline's own fetch and provider, with as many workers as it advises."""
    import anyio
    from pydantic import SecretStr

    from pipeline.fetch.fetcher import Fetcher
    from pipeline.fetch.pacing.concurrency import max_workers
    from pipeline.fetch.pacing.open import open_pacer
    from pipeline.fetch.policy import FetchPolicy, RateLimit
    from pipeline.providers.bing.provider import make_bing
    from pipeline.providers.bing.settings import BingSettings
    from pipeline.records import Answer, InsightsToken, Outcome, Problem, Reading, Request, Row
    from pipeline.schema import no_insights
    from pipeline.sink.output_lines import build_record, encode

    provider = make_bing(BingSettings(name="bing", endpoint=endpoint), endpoint)

    class Unread:
        """The provider, but for its reading."""

        def __getattr__(self, name: str) -> Any:
            return getattr(provider, name)

        def read(self, request: Request, answer: Answer) -> Outcome:
            return Reading(insights=no_insights()) if answer.status == 200 else provider.read(request, answer)

    answered = 0
    left = iter(range(rows))
    limits = RateLimit(qps=qps, concurrency=0 if qps else UNPACED_AT_ONCE)
    request = Request(method="POST", target="/ask", form="bytes", body=BODY)

    async def work(fetcher: Fetcher) -> None:
        nonlocal answered
        for row in left:
            answer, outcome = await fetcher.fetch(request)
            if isinstance(outcome, Problem):
                continue
            assert isinstance(outcome, Reading)
            if reads:
                source = Row(id=str(row), image=InsightsToken(token="t"), ordinal=row, line=row)
                encode(build_record(provider, source, None, [(request, answer)], outcome.insights))
            else:
                record(row, answer.body)
            answered += 1

    key = SecretStr("k" * 32)
    async with (
        open_pacer("file", "https://bench", key, limits, folder=folder) as pacer,
        Fetcher(provider if reads else Unread(), key, FetchPolicy(rate=limits), pacer=pacer) as fetcher,
        anyio.create_task_group() as tasks,
    ):
        for _ in range(max_workers(limits)):
            tasks.start_soon(work, fetcher)
    return answered


async def fetch(endpoint: str, qps: float, rows: int, folder: Path) -> int:
    """Ask as ours does, and leave the answers unread."""
    return await ours(endpoint, qps, rows, folder, reads=False)


async def plain(endpoint: str, qps: float, rows: int, folder: Path) -> int:
    """Ask with nothing but aiohttp: what the requests themselves cost."""
    import aiohttp

    answered = 0
    left = iter(range(rows))

    async def work(session: aiohttp.ClientSession) -> None:
        nonlocal answered
        for row in left:
            async with session.post(f"{endpoint}/ask", data=BODY, headers={"X-Key": "k" * 32}) as response:
                record(row, await response.read())
                answered += 1

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(work(session) for _ in range(UNPACED_AT_ONCE)))
    return answered


async def handwritten(endpoint: str, qps: float, rows: int, folder: Path) -> int:
    """Ask as a good hour's script does: aiolimiter, tenacity, a semaphore, a task a row."""
    import aiohttp
    from aiolimiter import AsyncLimiter
    from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

    limiter = AsyncLimiter(qps, 1.0)
    room = asyncio.Semaphore(AT_ONCE)
    answered = 0

    class RefusedError(Exception):
        pass

    @retry(
        retry=retry_if_exception_type((RefusedError, aiohttp.ClientError)),
        wait=wait_random_exponential(multiplier=0.5, max=10),
        stop=stop_after_attempt(8),
        reraise=True,
    )
    async def ask(session: aiohttp.ClientSession) -> bytes:
        async with (
            limiter,
            session.post(f"{endpoint}/ask", data=BODY, headers={"X-Key": "k" * 32}) as response,
        ):
            if response.status == 429:
                await asyncio.sleep(float(response.headers["Retry-After"]))
                raise RefusedError
            return await response.read()

    async def one(session: aiohttp.ClientSession, row: int) -> None:
        nonlocal answered
        async with room:
            try:
                record(row, await ask(session))
            except RefusedError:
                return
        answered += 1

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(one(session, row) for row in range(rows)))
    return answered


def scrapy(endpoint: str, qps: float, rows: int, folder: Path) -> int:
    """Ask with Scrapy at a fixed delay of 1/qps, its retry middleware on."""
    from scrapy import Request, Spider
    from scrapy.crawler import CrawlerProcess

    answered = 0

    class Asker(Spider):
        name = "asker"

        async def start(self) -> Any:  # an async generator of requests, as Scrapy wants it
            for row in range(rows):
                yield Request(
                    f"{endpoint}/ask", method="POST", body=BODY, headers={"X-Key": "k" * 32},
                    dont_filter=True, cb_kwargs={"row": row},
                )  # fmt: skip

        def parse(self, response: Any, row: int) -> None:
            nonlocal answered
            record(row, response.body)
            answered += 1

    settings = {
        "LOG_ENABLED": False, "TELNETCONSOLE_ENABLED": False, "COOKIES_ENABLED": False, "ROBOTSTXT_OBEY": False,
        "DOWNLOAD_DELAY": 1 / qps, "RANDOMIZE_DOWNLOAD_DELAY": False, "RETRY_TIMES": 8,
        "CONCURRENT_REQUESTS": AT_ONCE, "CONCURRENT_REQUESTS_PER_DOMAIN": AT_ONCE,
    }  # fmt: skip
    process = CrawlerProcess(settings)
    process.crawl(Asker)
    process.start()
    return answered


def main(name: str, endpoint: str, qps: float, rows: int, folder: Path) -> None:
    """Run one client and say what it took, its imports not counted."""
    for module in WARM.get(name, ("aiohttp",)):
        import_module(module)
    cpu = time.process_time()
    if name == "scrapy":
        answered = scrapy(endpoint, qps, rows, folder)
    else:
        client = {"ours": ours, "fetch": fetch, "plain": plain, "handwritten": handwritten}[name]
        answered = asyncio.run(client(endpoint, qps, rows, folder))
    cpu = time.process_time() - cpu
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stdout.write(json.dumps({"answered": answered, "cpu": cpu, "peak_mb": peak_kb / 1024}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
