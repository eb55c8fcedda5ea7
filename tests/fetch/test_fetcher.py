"""What each status of a service leads to, for one request and for the whole run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from unittest.mock import AsyncMock

import anyio
import pytest
from aiohttp import ClientConnectorDNSError, Payload
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_reqrep import ConnectionKey
from aioresponses import CallbackResult, aioresponses
from anyio import current_time
from pydantic import SecretStr

from pipeline.errors import KeyRefused, Misconfigured, PipelineError, QuotaUsedUp, Unreachable
from pipeline.fetch.fetcher import Fetcher
from pipeline.fetch.meter import Charge, Unmetered
from pipeline.fetch.pacing.pacer import IntakeClosed, ProcessPacer
from pipeline.fetch.policy import FetchPolicy, RateLimit
from pipeline.records import Problem, Reading, Request, Usage

if TYPE_CHECKING:
    from tests.fetch.conftest import Fetching, Small

VIRTUAL_CLOCK = True
ENDPOINT = "http://127.0.0.1:9/v1"
URL = f"{ENDPOINT}/ask"
POST = Request(method="POST", target="/ask", form="bytes", body=b"picture")


def requests_to(mock: aioresponses) -> int:
    return sum(len(calls) for calls in mock.requests.values())


async def test_an_answer_is_handed_back_whole(fetching: Fetching) -> None:
    """Status, body and the headers worth keeping come back, with lower-case names."""
    headers = {"X-Trace": "caf\xe9", "Content-Type": "application/json", "Server": "x"}
    with aioresponses() as mock:
        mock.post(URL, status=200, body='{"a": 1}', headers=headers)
        async with fetching(ENDPOINT) as fetcher:
            answer, outcome = await fetcher.fetch(POST)
    assert isinstance(outcome, Reading)
    assert (answer.status, answer.body, answer.attempts) == (200, b'{"a": 1}', 1)
    assert answer.headers == {"content-type": "application/json", "x-trace": "caf?"}


@pytest.mark.parametrize(
    ("status", "error"), [(401, KeyRefused), (403, QuotaUsedUp), (404, Misconfigured)], ids=["key", "quota", "config"]
)
async def test_what_ends_the_run_ends_it_after_one_call(
    status: int, error: type[PipelineError], fetching: Fetching
) -> None:
    """Of many requests waiting at once one is sent; the others are sent away."""
    ends: list[type[BaseException]] = []

    async def ask(fetcher: Fetcher) -> None:
        try:
            await fetcher.fetch(POST)
        except (PipelineError, IntakeClosed) as exc:
            ends.append(type(exc))

    with aioresponses() as mock:
        mock.post(URL, status=status, repeat=True)
        async with fetching(ENDPOINT) as fetcher, anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(ask, fetcher)
        assert requests_to(mock) == 1
    assert ends == [error] + [IntakeClosed] * 7


async def test_a_row_problem_is_handed_back_at_once(fetching: Fetching) -> None:
    """A 400 is this row's and final."""
    with aioresponses() as mock:
        mock.post(URL, status=400, repeat=True)
        async with fetching(ENDPOINT) as fetcher:
            answer, outcome = await fetcher.fetch(POST)
        assert requests_to(mock) == 1
    assert isinstance(outcome, Problem)
    assert (outcome.kind, outcome.http_status, answer.attempts) == ("row", 400, 1)


async def test_a_server_error_is_tried_again(fetching: Fetching) -> None:
    """500, 503, then 200: three sends, one reading."""
    with aioresponses() as mock:
        for status in (500, 503, 200):
            mock.post(URL, status=status, body="{}")
        async with fetching(ENDPOINT) as fetcher:
            answer, outcome = await fetcher.fetch(POST)
    assert isinstance(outcome, Reading)
    assert answer.attempts == 3
    assert (fetcher.counters.retries, fetcher.counters.faults, fetcher.counters.answers) == (2, 2, 3)


@pytest.mark.parametrize(("answers", "seconds"), [(0, 90), (1, 300)], ids=["never there", "gone in the run"])
async def test_a_service_that_is_not_there_is_waited_for(answers: int, seconds: int, fetching: Fetching) -> None:
    """A minute and a half where nothing was ever answered, else half a row's time; a few looks, each a fault."""
    place = ConnectionKey("nowhere.invalid", 443, True, True, None, None, None)
    with aioresponses() as mock:
        for _ in range(answers):
            mock.post(URL, body="{}")
        mock.post(URL, exception=ClientConnectorDNSError(place, OSError(-2, "unknown")), repeat=True)
        async with fetching(ENDPOINT, first_wait=0.5, max_wait=60.0, row_timeout=600.0) as fetcher:
            for _ in range(answers):
                await fetcher.fetch(POST)
            started = current_time()
            with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9 has not been reached.*name-not-found"):
                await fetcher.fetch(POST)
            assert seconds <= current_time() - started <= seconds + 60
            assert fetcher.counters.faults <= 16


async def test_retry_after_pauses_everyone(fetching: Fetching) -> None:
    """After a 429 nobody sends until its time is over, and the refused request succeeds then."""
    at: list[float] = []
    started = current_time()

    def serve(_: object, **__: object) -> CallbackResult:
        at.append(current_time() - started)
        return CallbackResult(status=429, headers={"Retry-After": "7"}) if len(at) == 3 else CallbackResult(body="{}")

    with aioresponses() as mock:
        mock.post(URL, callback=serve, repeat=True)
        async with fetching(ENDPOINT, limits=RateLimit(qps=10)) as fetcher, anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(fetcher.fetch, POST)
    assert len(at) == 11
    assert [moment for moment in at if 0.21 < moment < 7.19] == []
    assert fetcher.counters.paused == pytest.approx(7.0)
    assert (fetcher.counters.pauses, fetcher.counters.refusals, fetcher.counters.sent_while_paused) == (1, 1, 0)


@pytest.mark.parametrize("value", ["100", "Sat, 21 Nov 2026 10:01:40 GMT"], ids=["seconds", "date"])
async def test_a_retry_after_longer_than_a_row_may_take_stops_the_run(value: str, fetching: Fetching) -> None:
    """It stops cleanly and says when to go on."""
    with aioresponses() as mock:
        mock.post(URL, status=429, headers={"Retry-After": value, "Date": "Sat, 21 Nov 2026 10:00:00 GMT"})
        async with fetching(ENDPOINT, row_timeout=60.0) as fetcher:
            before = datetime.now(UTC)
            with pytest.raises(QuotaUsedUp) as stopped:
                await fetcher.fetch(POST)
    assert stopped.value.resume_after is not None
    assert before <= stopped.value.resume_after - timedelta(seconds=100) <= datetime.now(UTC)


@pytest.mark.parametrize("value", ["999999999999999999", "1e300"])
async def test_an_absurd_retry_after_breaks_nothing(value: str, fetching: Fetching) -> None:
    """Nonsense counts as no wait: the call is tried again after the usual backoff."""
    with aioresponses() as mock:
        mock.post(URL, status=429, headers={"Retry-After": value})
        mock.post(URL, body="{}")
        async with fetching(ENDPOINT) as fetcher:
            assert isinstance((await fetcher.fetch(POST))[1], Reading)
    assert fetcher.counters.paused <= 0.05


async def test_a_service_that_keeps_refusing_gets_more_patience(fetching: Fetching) -> None:
    """Retry-After 1 again and again: the pauses grow, so that few calls are wasted in a long outage."""
    with aioresponses() as mock:
        mock.post(URL, status=429, headers={"Retry-After": "1"}, repeat=True)
        async with fetching(ENDPOINT, first_wait=1.0, max_wait=60.0, row_timeout=600.0) as fetcher:
            _, outcome = await fetcher.fetch(POST)
        assert requests_to(mock) <= 20
    assert isinstance(outcome, Problem)
    assert outcome.kind == "throttled"


async def test_an_outage_pauses_everyone(fetching: Fetching) -> None:
    """When the service fails for all, a single request tries it from time to time, and no row is lost."""
    back_at = current_time() + 100.0

    def serve(_: object, **__: object) -> CallbackResult:
        return CallbackResult(body="{}", status=200 if current_time() > back_at else 503)

    outcomes: list[object] = []

    async def ask(fetcher: Fetcher) -> None:
        outcomes.append((await fetcher.fetch(POST))[1])

    limits = RateLimit(qps=50)
    with aioresponses() as mock:
        mock.post(URL, callback=serve, repeat=True)
        async with (
            fetching(ENDPOINT, limits=limits, first_wait=0.5, max_wait=60.0, row_timeout=600.0) as fetcher,
            anyio.create_task_group() as tasks,
        ):
            for _ in range(20):
                tasks.start_soon(ask, fetcher)
        assert requests_to(mock) <= 20 + 20
    assert [type(outcome) for outcome in outcomes] == [Reading] * 20


async def reads(body: Payload) -> None:
    """Take a request's body off the wire, as a server does; aioresponses itself never looks at it."""
    await body.write(AsyncMock(AbstractStreamWriter))


@pytest.mark.parametrize(
    ("status", "in_flight", "pauses"),
    [pytest.param(429, 6, [10, 10], id="refusals"), pytest.param(503, 8, [10, 20], id="faults")],
)
async def test_what_was_in_flight_when_a_pause_began_counts_for_nothing_more(
    status: int, in_flight: int, pauses: list[int], fetching: Fetching
) -> None:
    """Many fail together: those after the one that began the pause lengthen neither it nor the next one.

    The next one is begun by the request that tries alone after the first; five faults in a row begin a pause, and each
    further one doubles it.
    """
    sent_at: list[float] = []

    async def serve(_: object, *, data: Payload, **__: object) -> CallbackResult:
        await reads(data)
        sent_at.append(current_time())
        number = len(sent_at) - 1
        if 1 <= number <= in_flight:
            await anyio.sleep(1 + number / 100)
        return CallbackResult(body="{}", status=status if 1 <= number <= in_flight + 1 else 200)

    outcomes: list[object] = []

    async def ask(fetcher: Fetcher) -> None:
        outcomes.append((await fetcher.fetch(POST))[1])

    limits = RateLimit(qps=0, concurrency=10)
    with aioresponses() as mock:
        mock.post(URL, callback=serve, repeat=True)
        async with fetching(ENDPOINT, limits=limits, first_wait=10.0, max_wait=1e4, row_timeout=1e6) as fetcher:
            await ask(fetcher)
            async with anyio.create_task_group() as tasks:
                for _ in range(in_flight):
                    tasks.start_soon(ask, fetcher)
    assert [type(outcome) for outcome in outcomes] == [Reading] * (in_flight + 1)
    assert len(sent_at) == 1 + in_flight + 1 + in_flight
    counters = fetcher.counters
    assert (counters.pauses, counters.refusals + counters.faults) == (2, in_flight + 1)
    assert counters.paused == pytest.approx(sum(pauses))


async def test_a_row_that_alone_is_refused_stalls_nobody(fetching: Fetching) -> None:
    """A request that is always refused pauses and slows the others once, then only itself, and ends as a failure."""
    poison = Request(method="POST", target="/poison", form="bytes", body=b"picture")
    good_at: list[float] = []
    started = current_time()

    def serve(_: object, **__: object) -> CallbackResult:
        good_at.append(current_time() - started)
        return CallbackResult(body="{}")

    ends: list[Problem] = []

    async def ask_poison(fetcher: Fetcher) -> None:
        answer, outcome = await fetcher.fetch(poison)
        assert isinstance(outcome, Problem)
        assert answer.attempts == 6
        ends.append(outcome)

    async def ask_many(fetcher: Fetcher) -> None:
        for _ in range(500):
            assert isinstance((await fetcher.fetch(POST))[1], Reading)

    with aioresponses() as mock:
        mock.post(URL, callback=serve, repeat=True)
        mock.post(f"{ENDPOINT}/poison", status=429, headers={"Retry-After": "10"}, repeat=True)
        async with (
            fetching(ENDPOINT, limits=RateLimit(qps=10), attempts=5, row_timeout=600.0) as fetcher,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(ask_many, fetcher)
            tasks.start_soon(ask_poison, fetcher)
    assert ends[0].kind == "throttled"
    assert fetcher.counters.pauses == 1
    assert good_at[-1] < 500 * 0.101 + 10 + 20


async def test_every_send_is_charged_before(small: type[Small], key: SecretStr) -> None:
    """Each attempt is charged before it leaves, and what can't be charged is not sent."""

    class Purse(Unmetered):
        charges = 0

        async def charge(self, estimate: Usage) -> Charge:
            self.charges += 1
            if self.charges > 2:
                raise QuotaUsedUp("calls_per_run is used up")
            return await super().charge(estimate)

    limits = RateLimit(qps=1)
    with aioresponses() as mock:
        mock.post(URL, status=500)
        mock.post(URL, status=200, body="{}")
        policy = FetchPolicy(rate=limits)
        async with Fetcher(small(ENDPOINT), key, policy, pacer=ProcessPacer(limits), meter=Purse()) as it:
            assert isinstance((await it.fetch(POST))[1], Reading)
            with pytest.raises(QuotaUsedUp):
                await it.fetch(POST)
        assert requests_to(mock) == 2


async def test_closing_lets_go_of_backoffs_and_keeps_what_was_sent(fetching: Fetching) -> None:
    """A drain ends waits at once; a request on its way still brings its answer."""
    ends: list[str] = []

    async def slow(_: object, **__: object) -> CallbackResult:
        await anyio.sleep(3)
        return CallbackResult(body="{}")

    async def ask(fetcher: Fetcher, request: Request) -> None:
        try:
            ends.append(type((await fetcher.fetch(request))[1]).__name__)
        except IntakeClosed:
            ends.append(f"closed {current_time() - started:.0f}")

    started = current_time()
    fails = Request(method="POST", target="/fails", form="bytes", body=b"picture")
    with aioresponses() as mock:
        mock.post(URL, body="{}")
        mock.post(URL, callback=slow)
        mock.post(f"{ENDPOINT}/fails", status=500, repeat=True)
        async with fetching(ENDPOINT, first_wait=1e6, max_wait=1e6, row_timeout=1e9) as fetcher:
            await fetcher.fetch(POST)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask, fetcher, POST)
                tasks.start_soon(ask, fetcher, fails)
                await anyio.sleep(1)
                fetcher.close_intake()
    assert ends == ["closed 1", "Reading"]


@pytest.mark.parametrize("own", [None, "mine"], ids=["kept", "configured"])
async def test_the_conversation_id_is_kept_and_no_cookie(own: str | None, fetching: Fetching) -> None:
    """The first X-Client is sent from then on, unless the request brings its own; cookies never are."""
    given = {"X-Client": "first", "Set-Cookie": "MUID=1; path=/"}
    request = Request(method="GET", target="/ask", form="token", headers=(("X-Client", own),) if own else ())
    with aioresponses() as mock:
        mock.get(URL, body="{}", headers=given)
        mock.get(URL, body="{}", headers=given | {"X-Client": "second"})
        mock.get(URL, body="{}", headers=given)
        async with fetching(ENDPOINT) as fetcher:
            for _ in range(3):
                await fetcher.fetch(request)
        sent = [call.kwargs["headers"] for calls in mock.requests.values() for call in calls]
    assert [headers.get("X-Client") for headers in sent] == [own, own or "first", own or "first"]
    assert all("Cookie" not in headers and headers["X-Key"].startswith("Key key-") for headers in sent)
    assert fetcher.counters.calls == 3
