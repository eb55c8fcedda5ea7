"""Rates, quotas and places: the laws that the limits keep, on a clock of the test's own."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.service.access.limits import Allowance, Doorman, MonthlyQuota, Window, Workload
from pipeline.service.access.quota import QuotaBook
from pipeline.service.http.lookup import Uploads
from pipeline.service.http.markets import MARKETS, combine, fit_market, read_languages
from pipeline.service.refusals import Refused

GAPS = st.lists(st.floats(min_value=0, max_value=2, allow_nan=False), max_size=60)


@given(GAPS, st.sampled_from([0.5, 1.0, 2.5, 3.0, 20.0]))
def test_no_window_ever_holds_more_than_the_rate(gaps: list[float], qps: float) -> None:
    """However calls arrive, any window of one second (for whole rates) admits at most `qps` of them."""
    window, now, admitted = Window(qps), 0.0, []
    for gap in gaps:
        now += gap
        if not window.admit(now):
            admitted.append(now)
    most = math.ceil(qps)
    for first, beyond in zip(admitted, admitted[most:], strict=False):
        assert beyond - first >= most / qps - 1e-9


@given(GAPS, st.sampled_from([0.5, 2.5, 3.0]))
def test_who_waits_as_told_is_admitted(gaps: list[float], qps: float) -> None:
    """The wait that a refusal names is enough."""
    window, now = Window(qps), 0.0
    for gap in gaps:
        now += gap
        wait = window.admit(now)
        if wait:
            now += wait + 1e-9
            assert window.admit(now) == 0


def test_an_even_pace_at_the_rate_is_never_refused() -> None:
    """A client that keeps to the rate exactly gets every call through, also at a broken rate."""
    for qps in (0.5, 1, 2.5, 3, 7):
        window = Window(qps)
        assert all(window.admit(call / qps + 1e-9 * call) == 0 for call in range(100))


def test_the_quota_begins_anew_each_month() -> None:
    """Used up means until the first of the next month, over the year's end too."""
    quota, now = MonthlyQuota(2, QuotaBook(), b""), datetime(2026, 12, 31, 23, 59, 0, tzinfo=UTC)
    assert [quota.admit(now) for _ in range(3)] == [0, 0, 60]
    assert quota.admit(now + timedelta(minutes=1)) == 0
    november = datetime(2026, 11, 30, tzinfo=UTC)
    other = MonthlyQuota(0, QuotaBook(), b"")
    assert other.admit(november) == 86400


def test_a_refused_call_costs_no_quota() -> None:
    """What the rate refuses isn't charged to the month."""
    clock = [0.0]
    doorman = Doorman(
        (),
        Allowance(qps=1, per_month=2),
        QuotaBook(),
        clock=lambda: clock[0],
        today=lambda: datetime(2026, 11, 1, tzinfo=UTC),
    )
    doorman.admit({}, [])
    with pytest.raises(Refused) as caught:
        doorman.admit({}, [])
    assert caught.value.refusal.status == 429
    clock[0] = 1.0
    doorman.admit({}, [])
    clock[0] = 2.0
    with pytest.raises(Refused) as caught:
        doorman.admit({}, [])
    assert caught.value.refusal.status == 403


def test_a_place_is_free_again_after_a_failure() -> None:
    """Whatever ends a request, its place is given back."""
    workload = Workload(1)
    with pytest.raises(ZeroDivisionError), workload.one_more():
        raise ZeroDivisionError
    with workload.one_more(), pytest.raises(Refused), workload.one_more():
        pass


@pytest.mark.parametrize("market", MARKETS)
def test_a_listed_market_is_itself(market: str) -> None:
    """The string is case-insensitive, and a listed market is used as it is."""
    assert fit_market(market.upper()) == market
    assert combine(["xx", market[:2]], market[3:].lower()) == market


def test_languages_in_order_of_preference() -> None:
    """Quality values order them; malformed ones and the asterisk name none."""
    assert read_languages("de;q=0.5, en-GB, fr;q=0.9, *, b@d, it;q=0.0.1") == ["en", "fr", "de", "it"]


def test_uploads_are_remembered_within_bounds() -> None:
    """The oldest pictures go first; one that is asked about anew is young again."""
    uploads = Uploads(most_bytes=30)
    first, second = uploads.remember(b"a" * 10), uploads.remember(b"b" * 10)
    assert uploads.remember(b"a" * 10) == first
    third = uploads.remember(b"c" * 15)
    assert (uploads.get(first), uploads.get(second), uploads.get(third)) == (b"a" * 10, None, b"c" * 15)
