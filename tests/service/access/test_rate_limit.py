"""The sliding window never admits more than its rate, and never refuses a client that keeps to it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.service.access.rate_limit import SlidingWindow

GAPS = st.lists(st.floats(min_value=0, max_value=2, allow_nan=False), max_size=60)


@given(GAPS, st.sampled_from([0.5, 1.0, 2.5, 3.0, 20.0]))
def test_no_window_ever_has_more_than_the_rate(gaps: list[float], qps: float) -> None:
    """However calls arrive, any window of one second (for whole rates) admits at most `qps` of them."""
    window, now, admitted = SlidingWindow(qps), 0.0, []
    for gap in gaps:
        now += gap
        if not window.admit(now):
            admitted.append(now)
    capacity = math.ceil(qps)
    for first, beyond in zip(admitted, admitted[capacity:], strict=False):
        assert beyond - first >= capacity / qps - 1e-9


@given(GAPS, st.sampled_from([0.5, 2.5, 3.0]))
def test_the_wait_of_a_refusal_is_long_enough(gaps: list[float], qps: float) -> None:
    """A client that waits as long as the refusal says is admitted."""
    window, now = SlidingWindow(qps), 0.0
    for gap in gaps:
        now += gap
        wait = window.admit(now)
        if wait:
            now += wait + 1e-9
            assert window.admit(now) == 0


@pytest.mark.parametrize("qps", [0.5, 1, 2.5, 3, 7])
def test_an_even_pace_at_the_rate_is_never_refused(qps: float) -> None:
    """A client that keeps exactly to the rate gets every call through, also with a fractional rate."""
    window = SlidingWindow(qps)
    assert all(window.admit(call / qps + 1e-9 * call) == 0 for call in range(100))
