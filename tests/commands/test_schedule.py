"""Nights are counted as the caps allow them: of a run, a day, a month, and what is used up already."""

from __future__ import annotations

from datetime import date
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.commands.schedule import MOST_NIGHTS, Caps, count_nights

TODAY = date(2026, 11, 21)


@pytest.mark.parametrize(
    ("calls", "caps", "nights", "last"),
    [
        (0, Caps(per_day=5), 0, TODAY),
        (7, Caps(), 1, TODAY),
        (10, Caps(per_run=4), 3, date(2026, 11, 23)),
        (10, Caps(per_run=9, per_day=5), 2, date(2026, 11, 22)),
        (10, Caps(per_day=5, used_today=5), 2, date(2026, 11, 23)),
        (10, Caps(per_day=5, used_today=9), 2, date(2026, 11, 23)),
        (10, Caps(per_month=5), 2, date(2026, 12, 1)),
        (10, Caps(per_month=5, used_month=3), 3, date(2027, 1, 1)),
        (10, Caps(per_month=5, used_month=50), 2, date(2027, 1, 1)),
        (30, Caps(per_run=2, per_month=25, used_month=5), 15, date(2026, 12, 5)),
        (5, Caps(per_run=1, per_month=100), 5, date(2026, 11, 25)),
    ],
    ids=[
        "nothing to ask", "no cap", "runs", "days", "day used up", "day overdrawn", "months", "month begun",
        "month overdrawn", "into the next month", "month not reached",
    ],
)  # fmt: skip
def test_nights_within_the_caps(calls: int, caps: Caps, nights: int, last: date) -> None:
    """The last night has its date."""
    found = count_nights(calls, caps, TODAY)
    assert (found.count, found.last, found.more) == (nights, last, False)


def test_the_count_ends() -> None:
    """A million calls at one a month are no date that a calendar has."""
    assert count_nights(1_000_000, Caps(per_month=1), TODAY).more
    assert count_nights(1_000_000, Caps(per_month=1), TODAY).count == MOST_NIGHTS


caps = st.builds(Caps, per_run=st.integers(0, 50), per_day=st.integers(0, 50), per_month=st.integers(0, 200))


@given(calls=st.integers(1, 2_000), caps=caps)
def test_no_night_is_fuller_than_its_cap(calls: int, caps: Caps) -> None:
    """There are at least as many nights as the smallest cap needs, and no more than a month's cap adds."""
    found = count_nights(calls, caps, TODAY)
    fewest = ceil(calls / caps.per_night) if caps.per_night else 1
    months = ceil(calls / caps.per_month) if caps.per_month else 0
    assert fewest <= found.count <= fewest + months
