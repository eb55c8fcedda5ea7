"""Late answers, told apart from answers that merely vary."""

from __future__ import annotations

import random

import pytest

from pipeline.fetch.pacing.late_arrivals import LateArrivals


def taught(latencies: list[float]) -> LateArrivals:
    lateness = LateArrivals()
    for latency in latencies:
        lateness.of(latency)
    return lateness


def test_what_an_answer_took_longer_than_the_fastest_is_how_late_its_request_may_be() -> None:
    """Differences of a few milliseconds are not worth a word."""
    lateness = taught([0.02, 0.05] * 50)
    assert lateness.of(0.045) == pytest.approx(0.025, abs=0.001)
    assert lateness.of(0.021) == 0.0


def test_the_fastest_of_few_answers_is_taken_to_be_late_itself() -> None:
    """The more they differ and the fewer they are, the more."""
    assert taught([0.02, 0.05]).of(0.05) == pytest.approx(0.03 + 2 * 0.03 / 3)
    assert taught([0.02, 0.05] * 5).of(0.05) == pytest.approx(0.03 + 2 * 0.03 / 11)


def test_a_stall_is_told_for_everything_it_held_up() -> None:
    """Twenty answers of one stall of 80 ms are late by about that, the last like the first."""
    chance = random.Random(1)
    lateness = taught([0.02 + chance.uniform(0, 0.005) for _ in range(200)])
    assert [lateness.of(0.1025) for _ in range(20)] == pytest.approx([0.08] * 20, abs=0.005)


@pytest.mark.parametrize("typical", [0.5, 5.0])
def test_a_service_that_takes_its_time_is_rarely_late(typical: float) -> None:
    """Where answers take half to three times as long, it is the service: few may have arrived late."""
    chance = random.Random(2)
    lateness = taught([])
    late = [lateness.of(typical * chance.lognormvariate(0, 0.5)) > 0 for _ in range(2000)]
    assert sum(late[200:]) < 0.15 * 1800


def test_the_fastest_answer_is_forgotten() -> None:
    """A way that has become longer for good is the usual one after two hundred answers."""
    lateness = taught([0.02] * 100 + [0.05] * 200)
    assert lateness.of(0.05) == 0.0


def test_a_service_that_slows_down_for_good_becomes_the_usual() -> None:
    """After some hundreds of slower answers they are no longer late."""
    lateness = taught([0.02] * 100 + [0.2] * 400)
    assert lateness.of(0.2) == 0.0
