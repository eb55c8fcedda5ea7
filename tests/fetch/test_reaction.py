"""What an outcome means for everyone, decided as a value: a table of cases, and laws over any sequence of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import KeyRefused, Misconfigured, QuotaUsedUp
from pipeline.fetch.policy import RetryPolicy
from pipeline.fetch.reaction import BELIEVED_DENIALS, OUTAGE, Attempt, Reaction, Standing, react
from pipeline.records import Outcome, Problem, ProblemKind, Reading
from pipeline.schema import no_insights

POLICY = RetryPolicy(first_wait=1.0, max_wait=16.0, row_timeout=600.0)
GOOD = Reading(insights=no_insights())
SENT = Attempt(request=1, granted_at=100.0, sent_at=100.1, has_left=True, throttled_at=None, paused_from=50.0)


def problem(kind: ProblemKind) -> Problem:
    return Problem(kind=kind, code="c", message="m", http_status=400)


def after(outcome: Outcome, standing: Standing | None = None, wait: float | None = None, **attempt: object) -> Reaction:
    return react(outcome, wait, replace(SENT, **attempt), standing or Standing(), POLICY)  # type: ignore[arg-type] # fields of Attempt


@pytest.mark.parametrize("outcome", [GOOD, problem("row")], ids=["insights", "a verdict on the row"])
def test_an_answer_lets_the_others_follow(outcome: Outcome) -> None:
    """The service is there: what was counted against it is forgotten."""
    reaction = after(outcome, Standing(refusals=4, faults=3, denied=frozenset({7})))
    assert reaction.standing == Standing(success_at=100.1, has_answered=True)
    assert (reaction.has_recovered, reaction.pause, reaction.stop, reaction.outcome) == (True, None, None, outcome)


def test_an_answer_to_what_was_sent_before_the_pause_ends_no_trouble() -> None:
    """It says nothing about the service since then."""
    reaction = after(GOOD, Standing(refusals=4), paused_from=100.2)
    assert (reaction.has_recovered, reaction.standing.refusals) == (False, 4)


@pytest.mark.parametrize(
    ("kind", "wait", "error"),
    [
        ("refused", None, KeyRefused),
        ("misconfigured", None, Misconfigured),
        ("quota", None, QuotaUsedUp),
        ("throttled", 601.0, QuotaUsedUp),
        ("transient", 601.0, QuotaUsedUp),
    ],
)
def test_what_ends_the_run(kind: ProblemKind, wait: float | None, error: type[Exception]) -> None:
    """A denial of a service that has never answered, a quota, a wait longer than a row may take."""
    assert isinstance(after(problem(kind), wait=wait).stop, error)


@pytest.mark.parametrize(("kind", "error"), [("refused", KeyRefused), ("misconfigured", Misconfigured)])
def test_a_key_that_was_accepted_is_not_refused_because_of_one_row(kind: ProblemKind, error: type[Exception]) -> None:
    """After an answer, several rows in a row have to be denied; until then the row fails alone, and pauses nobody."""
    standing = Standing(has_answered=True)
    for _ in range(10):  # one row, again and again
        reaction = after(problem(kind), standing, request=1)
        standing = reaction.standing
        assert (reaction.stop, reaction.pause, reaction.outcome) == (None, None, problem(kind))
    for number in range(2, BELIEVED_DENIALS):
        standing = after(problem(kind), standing, request=number).standing
    assert isinstance(after(problem(kind), standing, request=BELIEVED_DENIALS).stop, error)
    answered = after(GOOD, standing).standing
    assert after(problem(kind), answered, request=BELIEVED_DENIALS).stop is None


def test_a_refusal_pauses_everyone() -> None:
    """As long as asked for, else as long as the first backoff; the pace is corrected."""
    asked, unasked = after(problem("throttled"), wait=7.0), after(problem("throttled"))
    assert (asked.pause, asked.own_wait, asked.is_too_fast, asked.standing.refusals) == (7.0, None, True, 1)
    assert (unasked.pause, unasked.own_wait) == (1.0, None)


def test_refusals_that_go_on_get_longer_pauses() -> None:
    """The first three as asked for, then twice as long each time, up to the longest wait."""
    standing, pauses = Standing(), []
    for _ in range(8):
        reaction = after(problem("throttled"), standing, wait=1.0)
        standing = reaction.standing
        pauses.append(reaction.pause)
    assert pauses == [1.0, 1.0, 1.0, 2.0, 4.0, 8.0, 16.0, 16.0]


def test_a_row_that_alone_is_refused_waits_alone() -> None:
    """Others were answered since it was refused last: nobody else pauses."""
    reaction = after(problem("throttled"), Standing(success_at=99.0), wait=10.0, throttled_at=98.0)
    assert (reaction.pause, reaction.own_wait, reaction.standing.refusals) == (None, 10.0, 0)


@pytest.mark.parametrize("kind", ["throttled", "transient", "refused"])
@pytest.mark.parametrize("has_left", [True, False])
def test_what_was_in_flight_when_a_pause_began_counts_for_nothing(kind: ProblemKind, *, has_left: bool) -> None:
    """It failed for a reason already known: no trouble is counted, and no pause begins for it."""
    before = Standing(refusals=2, faults=OUTAGE + 3, success_at=10.0, has_answered=True)
    reaction = after(problem(kind), before, paused_from=100.1, has_left=has_left)
    assert (reaction.pause, reaction.standing.refusals, reaction.standing.faults) == (None, 2, OUTAGE + 3)


def test_a_service_that_fails_for_everyone_pauses_everyone() -> None:
    """A few faults are their rows' own; from the fifth one on everyone waits, longer and longer."""
    standing, pauses = Standing(), []
    for _ in range(OUTAGE + 2):
        reaction = after(problem("transient"), standing)
        standing = reaction.standing
        pauses.append(reaction.pause)
        assert reaction.own_wait == 0.0
    assert pauses == [None] * (OUTAGE - 1) + [1.0, 2.0, 4.0]


def test_nobody_there_costs_no_row_an_attempt() -> None:
    """What never left makes everyone wait, from the first time on."""
    first = after(problem("transient"), has_left=False, sent_at=None)
    second = after(problem("transient"), first.standing, has_left=False, sent_at=None)
    assert (first.own_wait, first.pause, second.pause) == (None, 1.0, 2.0)


@given(
    st.lists(st.tuples(st.sampled_from(["row", "transient", "throttled"]), st.floats(0, 600), st.booleans())),
    st.integers(0, 3),
)
def test_pauses_are_bounded_and_never_forgotten_troubles(
    kinds: list[tuple[ProblemKind, float, bool]], request: int
) -> None:
    """Whatever comes: a pause is as long as asked for at least, and never longer than that and the longest wait."""
    standing = Standing()
    for kind, wait, has_left in kinds:
        reaction = after(problem(kind), standing, wait=wait or None, has_left=has_left, request=request)
        standing = reaction.standing
        assert reaction.stop is None
        if reaction.pause is not None:
            assert 0 <= reaction.pause <= max(wait, POLICY.max_wait)
        if kind == "throttled":
            assert reaction.own_wait is None
            assert reaction.pause is not None
            assert reaction.pause >= wait
