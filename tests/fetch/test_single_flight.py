"""Equal questions are paid for once, in flight, from the store, and when the one that asked is stopped."""

from __future__ import annotations

import anyio
import pytest

from pipeline.fetch.single_flight import SingleFlight
from pipeline.records import Answer, Outcome, Problem, Reading, Request
from pipeline.schema import no_insights


class Service:
    """Answers when told to, counts what it is asked, and fails as often as it is told."""

    service_id = "test"

    def __init__(self, outcome: Outcome | None = None, failures: int = 0, body: bytes = b"x") -> None:
        self.asked = 0
        self.failures = failures
        self.body = body
        self.outcome = outcome or Reading(insights=no_insights())
        self.go = anyio.Event()
        self.kept: list[tuple[bytes, Request]] = []
        self.store: dict[bytes, Answer] = {}

    async def fetch(self, request: Request) -> tuple[Answer, Outcome]:
        self.asked += 1
        await self.go.wait()
        if self.failures:
            self.failures -= 1
            raise RuntimeError("stopped")
        return Answer(status=200, headers={}, body=self.body, asked_at=1.0), self.outcome

    def read(self, *_: object) -> Outcome:
        return self.outcome

    async def keep(self, fingerprint: bytes, request: Request, answer: Answer) -> None:
        self.kept.append((fingerprint, request))
        self.store[fingerprint] = answer

    def single_flight(self) -> SingleFlight:
        return SingleFlight(self, self, stored=self.store.get, keep=self.keep)


REQUEST = Request(method="POST", target="/x", form="bytes", body=b"picture")


async def ask_many(single_flight: SingleFlight, service: Service, count: int) -> list[tuple[bytes, Answer, Outcome]]:
    results: list[tuple[bytes, Answer, Outcome]] = []

    async def one() -> None:
        results.append(await single_flight.fetch(REQUEST))

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(one)
        await anyio.wait_all_tasks_blocked()
        service.go.set()
    return results


async def test_ten_equal_questions_in_flight_are_one_call() -> None:
    """One pays, the nine others share its answer; it is kept before anyone sees it."""
    service = Service()
    results = await ask_many(service.single_flight(), service, 10)
    assert service.asked == 1
    assert service.kept == [(REQUEST.fingerprint("test"), REQUEST)]
    assert sorted(answer.from_store for _, answer, _ in results) == [False] + [True] * 9


async def test_what_is_stored_is_not_asked_again() -> None:
    """After the store has it the flight is forgotten, and the store answers."""
    service = Service()
    single_flight = service.single_flight()
    (fingerprint, _, _) = (await ask_many(single_flight, service, 1))[0]
    single_flight.forget([fingerprint])
    assert service.asked == 1
    await single_flight.fetch(REQUEST)
    assert service.asked == 1
    service.store.clear()
    await single_flight.fetch(REQUEST)
    assert service.asked == 2


async def test_a_fault_is_shared_but_not_kept() -> None:
    """Those who waited get the fault, the store gets nothing, and the next one asks again."""
    fault = Problem(kind="transient", code="reset", message="reset")
    service = Service(fault)
    single_flight = service.single_flight()
    results = await ask_many(single_flight, service, 3)
    assert [outcome for _, _, outcome in results] == [fault] * 3
    assert service.asked == 1
    assert service.kept == []
    await single_flight.fetch(REQUEST)
    assert service.asked == 2


async def test_a_verdict_on_the_picture_is_kept() -> None:
    """A refusal of the picture was paid for like any answer."""
    service = Service(Problem(kind="row", code="UnknownFormat", message="no picture"))
    await ask_many(service.single_flight(), service, 2)
    assert len(service.kept) == 1


async def test_an_answer_that_was_given_up_is_not_kept() -> None:
    """A body too large to be read can't be read again from the store; the row fails, and nothing is stored."""
    service = Service(Problem(kind="row", code="body-too-large", message="too large"), body=b"")
    await ask_many(service.single_flight(), service, 2)
    assert service.kept == []


async def test_when_the_one_that_asked_is_stopped_another_asks() -> None:
    """Nobody waits for an answer that will never come."""
    service = Service(failures=1)
    single_flight = service.single_flight()
    with pytest.raises(ExceptionGroup) as caught:
        await ask_many(single_flight, service, 1)
    assert caught.group_contains(RuntimeError)
    assert len(await ask_many(single_flight, service, 2)) == 2
    assert service.asked == 2


async def test_when_a_flight_is_cancelled_one_of_those_who_waited_pays_for_all() -> None:
    """The first caller is cancelled while two others wait: one of them asks, the other takes its answer."""
    service = Service()
    single_flight = service.single_flight()
    answers: list[Answer] = []

    async def one() -> None:
        _, answer, _ = await single_flight.fetch(REQUEST)
        answers.append(answer)

    async def first(scope: anyio.CancelScope) -> None:
        with scope:
            await one()

    scope = anyio.CancelScope()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first, scope)
        await anyio.wait_all_tasks_blocked()
        for _ in range(2):
            tasks.start_soon(one)
        await anyio.wait_all_tasks_blocked()
        assert service.asked == 1
        scope.cancel()
        await anyio.wait_all_tasks_blocked()
        service.go.set()
    assert service.asked == 2
    assert sorted(answer.from_store for answer in answers) == [False, True]
