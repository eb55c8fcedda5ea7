"""How long a service asks to wait: in headers of every form, or in a gateway's sentence."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.network.waits import LONGEST_WAIT, wait_of_headers
from pipeline.providers.bing.spoken_waits import wait_in_words

NOW = 1_760_000_000.0


def http_date(unix: float) -> str:
    return format_datetime(datetime.fromtimestamp(unix, UTC), usegmt=True)


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("26", 26.0),
        ("0", 0.0),
        (" 1.5 ", 1.5),
        ("86400", 86_400.0),
        ("1.5s", 1.5),
        ("1m2s", 62.0),
        ("250ms", 0.25),
        ("6m0s", 360.0),
        ("2h", 7_200.0),
        (f"{NOW + 90:.0f}", 90.0),
        (f"{(NOW + 90) * 1000:.0f}", 90.0),
        (f"{NOW - 90:.0f}", 0.0),
        (http_date(NOW + 90), 90.0),
        (http_date(NOW - 90), 0.0),
        (datetime.fromtimestamp(NOW + 90, UTC).isoformat(), 90.0),
        ("2025-10-09T08:54:50Z", 90.0),
        (http_date(NOW + 1e9), None),
        ("Sat, 99 Foo 2026 99:99:99 GMT", None),
        ("Sat, 21 Nov 99999 00:00:09 GMT", None),
        ("-5", None),
        ("99999999999", None),
        ("999999999999999999", None),
        ("1_000", None),
        ("1_0", None),
        ("1e3", None),
        ("1e400", None),
        ("0x10", None),
        ("\N{ARABIC-INDIC DIGIT ONE}", None),
        ("inf", None),
        ("nan", None),
        ("soon", None),
        ("s", None),
        ("", None),
    ],
)
def test_each_form_of_a_wait(retry_after: str, seconds: float | None) -> None:
    """Seconds, durations, Unix times and dates are read; all that says nothing bearable counts as absent."""
    expected = None if seconds is None else pytest.approx(seconds)
    assert wait_of_headers({"retry-after": retry_after}, NOW) == expected
    assert wait_of_headers({"retry-after": retry_after, "date": "nonsense"}, NOW) == expected


def test_the_servers_own_clock_counts() -> None:
    """A date is measured against the server's Date where it sends one, since our clock may differ."""
    headers = {"retry-after": http_date(NOW + 9_000), "date": http_date(NOW + 8_940)}
    assert wait_of_headers(headers, NOW) == 60.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"x-ms-retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "2"}, 2.0),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "6m0s"}, 360.0),
        ({"x-ratelimit-reset": f"{NOW + 30:.0f}"}, 30.0),
        ({"ratelimit-reset": "12"}, 12.0),
        ({"retry-after": "7", "ratelimit-reset": "12"}, 7.0),
        ({}, None),
    ],
)
def test_other_headers_stand_in(headers: dict[str, str], seconds: float | None) -> None:
    """Milliseconds come first, then Retry-After, then the latest time at which a limit is reset."""
    assert wait_of_headers(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Rate limit is exceeded. Try again in 26 seconds.", 26.0),
        ("Try again in 2 minutes.", 120.0),
        ("Quota will be replenished in 2.12 days.", 183_168.0),
        ("Quota will be replenished in 5.02:03:04.", 439_384.0),
        ("Quota will be replenished in 02:03:04.", 7_384.0),
        ("Try again in 999999999 days.", None),
        ("Try again later.", None),
    ],
)
def test_sentences_of_gateways(message: str, seconds: float | None) -> None:
    """A sentence counts where it names a bearable time."""
    assert wait_in_words(message) == (None if seconds is None else pytest.approx(seconds))


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=60))
def test_any_text_is_bearable(retry_after: str, date: str, message: str) -> None:
    """Whatever the texts are, the wait is none or a bearable number of seconds."""
    for wait in (wait_of_headers({"retry-after": retry_after, "date": date}, NOW), wait_in_words(message)):
        assert wait is None or 0 <= wait <= LONGEST_WAIT
