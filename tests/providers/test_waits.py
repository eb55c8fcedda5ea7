"""How long to wait: Retry-After in seconds or as a date, or a gateway's sentence."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.providers.bing.waits import wait_asked

NOW = 1_760_000_000.0


def http_date(unix: float) -> str:
    return format_datetime(datetime.fromtimestamp(unix, UTC), usegmt=True)


@pytest.mark.parametrize(
    ("retry_after", "date", "message", "seconds"),
    [
        ("26", "", "", 26.0),
        ("0", "", "", 0.0),
        ("1.5", "", "", 1.5),
        ("-5", "", "", None),
        ("99999999999", "", "", None),
        ("nan", "", "", None),
        ("soon", "", "", None),
        (http_date(NOW + 90), http_date(NOW + 30), "", 60.0),
        (http_date(NOW + 90), "", "", 90.0),
        (http_date(NOW + 90), "nonsense", "", 90.0),
        (http_date(NOW - 90), http_date(NOW), "", 0.0),
        (http_date(NOW + 1e9), "", "", None),
        ("Sat, 99 Foo 2026 99:99:99 GMT", "", "", None),
        ("", "", "Rate limit is exceeded. Try again in 26 seconds.", 26.0),
        ("", "", "Quota will be replenished in 2.12 days.", 183_168.0),
        ("", "", "Quota will be replenished in 5.02:03:04.", 439_384.0),
        ("", "", "Quota will be replenished in 02:03:04.", 7_384.0),
        ("7", "", "Try again in 26 seconds.", 7.0),
        ("soon", "", "Try again in 2 minutes.", 120.0),
        ("", "", "Try again later.", None),
    ],
)
def test_waits(retry_after: str, date: str, message: str, seconds: float | None) -> None:
    """The header counts before the sentence, the server's clock before ours, and nonsense as nothing."""
    headers = {name: value for name, value in (("retry-after", retry_after), ("date", date)) if value}
    assert wait_asked(headers, message, NOW) == (None if seconds is None else pytest.approx(seconds))


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=60))
def test_any_text_is_bearable(retry_after: str, date: str, message: str) -> None:
    """Whatever the texts are, the wait is none or a bearable number of seconds."""
    found = wait_asked({"retry-after": retry_after, "date": date}, message, NOW)
    assert found is None or 0 <= found <= 366 * 86_400
