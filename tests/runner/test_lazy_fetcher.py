"""What asks is opened at the first request, once, and not at all where the intake is closed before."""

from __future__ import annotations

from typing import cast

import anyio
import pytest

from pipeline.errors import ServiceError
from pipeline.fetch.fetcher import Fetcher
from pipeline.fetch.pacing.pacer import IntakeClosed
from pipeline.records import Answer, Outcome, Problem, Request
from pipeline.runner.lazy_fetcher import LazyFetcher

REQUEST = Request(method="GET", target="/x", form="token")
ANSWER = Answer(status=200, headers={}, body=b"{}", asked_at=1.0)
OUTCOME = Problem(kind="row", code="x", message="x")


class Asked:
    """Stands for a Fetcher that answers at once."""

    paused_for = 0.0
    trouble = ""

    def __init__(self) -> None:
        self.closed = False

    async def ask(self, _: Request) -> tuple[Answer, Outcome]:
        return ANSWER, OUTCOME

    def close_intake(self) -> None:
        self.closed = True

    def waits(self) -> bool:
        return False


class Opening:
    """Opens when it is told to; counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = Asked()
        self.begun = 0
        self.may = anyio.Event()

    async def __call__(self) -> tuple[Fetcher, None]:
        self.begun += 1
        await self.may.wait()
        return cast("Fetcher", self.asked), None


async def test_requests_that_come_together_open_it_once() -> None:
    """All wait for the one opening, which the progress names, and are answered."""
    opening, answers = Opening(), list[Answer]()
    lazy_fetcher = LazyFetcher(opening)

    async def ask() -> None:
        answers.append((await lazy_fetcher.ask(REQUEST))[0])

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
    lazy_fetcher = LazyFetcher(opening)

    async def ask() -> None:
        with pytest.raises(IntakeClosed):
            await lazy_fetcher.ask(REQUEST)

    with anyio.fail_after(5):
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
    lazy_fetcher = LazyFetcher(opening)
    await lazy_fetcher.ask(REQUEST)
    lazy_fetcher.close_intake()
    assert opening.asked.closed
    with pytest.raises(IntakeClosed):
        await lazy_fetcher.ask(REQUEST)


async def test_a_service_that_does_not_start_is_told_once() -> None:
    """The error of the opening reaches whoever asked first; the others are sent away, and none starts it again."""
    told = list[str]()

    async def fail() -> tuple[Fetcher, None]:
        await anyio.lowlevel.checkpoint()
        raise ServiceError("the embedded service did not start")

    async def ask(lazy_fetcher: LazyFetcher) -> None:
        try:
            await lazy_fetcher.ask(REQUEST)
        except (ServiceError, IntakeClosed) as exc:
            told.append(type(exc).__name__)

    lazy_fetcher = LazyFetcher(fail)
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(ask, lazy_fetcher)
    assert told == ["ServiceError", "IntakeClosed", "IntakeClosed"]


async def test_a_pause_is_told_with_its_end() -> None:
    """The time on the local clock."""
    opening = Opening()
    opening.may.set()
    lazy_fetcher = LazyFetcher(opening)
    await lazy_fetcher.ask(REQUEST)
    opening.asked.paused_for = 90.0
    assert lazy_fetcher.waits_for().startswith("paused until ")
