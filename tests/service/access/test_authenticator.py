"""Each request is charged to the account of its key, unless it is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pipeline.service.access.authenticator import Allowance, Authenticator
from pipeline.service.access.monthly_quota import UsageStore
from pipeline.service.refusals import Refused


def test_a_call_over_the_rate_costs_no_quota() -> None:
    """A call that the rate limit refuses is not charged to the month."""
    clock = [0.0]
    authenticator = Authenticator(
        (),
        Allowance(qps=1, per_month=2),
        UsageStore(),
        clock=lambda: clock[0],
        today=lambda: datetime(2026, 11, 1, tzinfo=UTC),
    )
    account = authenticator.authenticate({}, [])
    authenticator.charge(account)
    with pytest.raises(Refused) as refused:
        authenticator.charge(account)
    assert refused.value.refusal.status == 429
    clock[0] = 1.0
    authenticator.charge(account)
    clock[0] = 2.0
    with pytest.raises(Refused) as refused:
        authenticator.charge(account)
    assert refused.value.refusal.status == 403
