"""What asks is opened at the first request, once, and not at all where the intake is closed before."""

from __future__ import annotations

from typing import cast

import anyio
import pytest

from pipeline.errors import PipelineError, ServiceError
from pipeline.fetch.fetcher import Fetcher
from pipeline.fetch.pacing.pacer import IntakeClosed
from pipeline.records import Answer, Outcome, Problem, Request
from pipeline.runner.lazy_fetcher import LazyFetcher
from pipeline.runner.stop import Stop
from tests.waiting import HANG_SECONDS

REQUEST = Request(method="GET", target="/x", form="token")
ANSWER = Answer(status=200, headers={}, body=b"{}", asked_at=1.0)
OUTCOME = Problem(kind="row", code="x", message="x")


async def lives_on() -> PipelineError:
    await anyio.sleep_forever()
    raise AssertionError


class Instant:
    """Stands for a Fetcher that answers at once."""

    paused_for = 0.0
    trouble = ""

    def __init__(self) -> None:
        self.closed = False

    async def fetch(self, _: Request) -> tuple[Answer, Outcome]:
        return ANSWER, OUTCOME

    def close_intake(self) -> None:
        self.closed = True

    def waits(self) -> bool:
        return False


class Opening:
    """Opens when it is told to; counts how often it was asked."""

    def __init__(self) -> None:
        self.fetcher = Instant()
        self.begun = 0
        self.may = anyio.Event()

    async def __call__(self) -> Fetcher:
        self.begun += 1
        await self.may.wait()
        return cast("Fetcher", self.fetcher)


async def test_requests_that_come_together_open_it_once() -> None:
    """All wait for the one opening, which the progress names, and are answered."""
    opening, answers = Opening(), list[Answer]()
    lazy_fetcher = LazyFetcher(opening, lives_on)

    async def ask() -> None:
        answers.append((await lazy_fetcher.fetch(REQUEST))[0])

    assert (lazy_fetcher.waits(), lazy_fetcher.waits_for(), opening.begun) == (False, "", 0)
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        assert (lazy_fetcher.waits(), lazy_fetcher.waits_for()) == (True, "waiting for the index")
        opening.may.set()
    assert (answers, opening.begun) == ([ANSWER] * 3, 1)
    assert (lazy_fetcher.waits(), lazy_fetcher.waits_for()) == (False, "")


@pytest.mark.parametrize("begun", [False, True], ids=["before it begins", "while it is opened"])
async def test_a_closed_intake_opens_nothing(*, begun: bool) -> None:
    """Who asks is sent away, then and later; what was being opened is given up."""
    opening = Opening()
    lazy_fetcher = LazyFetcher(opening, lives_on)

    async def ask() -> None:
        with pytest.raises(IntakeClosed):
            await lazy_fetcher.fetch(REQUEST)

    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            if begun:
                tasks.start_soon(ask)
                await anyio.wait_all_tasks_blocked()
            lazy_fetcher.close_intake()
        await ask()
    assert opening.begun == begun


async def test_an_open_intake_is_closed_with_its_fetcher() -> None:
    """What is in flight is the Fetcher's to finish; nothing new reaches it."""
    opening = Opening()
    opening.may.set()
    lazy_fetcher = LazyFetcher(opening, lives_on)
    await lazy_fetcher.fetch(REQUEST)
    lazy_fetcher.close_intake()
    assert opening.fetcher.closed
    with pytest.raises(IntakeClosed):
        await lazy_fetcher.fetch(REQUEST)


async def test_a_service_that_does_not_start_is_told_once() -> None:
    """The error of the opening reaches whoever asked first; the others are sent away, and none starts it again."""
    told = list[str]()

    async def fail() -> Fetcher:
        await anyio.lowlevel.checkpoint()
        raise ServiceError("the embedded service did not start")

    async def ask(lazy_fetcher: LazyFetcher) -> None:
        try:
            await lazy_fetcher.fetch(REQUEST)
        except (ServiceError, IntakeClosed) as exc:
            told.append(type(exc).__name__)

    lazy_fetcher = LazyFetcher(fail, lives_on)
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(ask, lazy_fetcher)
    assert told == ["ServiceError", "IntakeClosed", "IntakeClosed"]


async def test_a_pause_is_told_with_its_end() -> None:
    """The time on the local clock."""
    opening = Opening()
    opening.may.set()
    lazy_fetcher = LazyFetcher(opening, lives_on)
    await lazy_fetcher.fetch(REQUEST)
    opening.fetcher.paused_for = 90.0
    assert lazy_fetcher.waits_for().startswith("paused until ")


async def test_the_early_end_of_the_service_stops_the_run() -> None:
    """The reason is the service's, and nothing is waited for before it was opened."""
    opening, stop, dead = Opening(), Stop(), anyio.Event()

    async def died() -> PipelineError:
        await dead.wait()
        return ServiceError("the embedded service has died")

    lazy_fetcher = LazyFetcher(opening, died)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lazy_fetcher.stop_when_service_dies, stop)
        dead.set()
        await anyio.wait_all_tasks_blocked()
        assert stop.cause is None
        opening.may.set()
        await lazy_fetcher.open()
    assert str(stop.cause) == "the embedded service has died"
