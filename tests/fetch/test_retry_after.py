"""Reading Retry-After."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pipeline.fetch.retry_after import retry_after, usable

NOW = datetime(2026, 11, 21, 0, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "86400"}, 86400.0),
        ({"retry-after": "Sat, 21 Nov 2026 00:00:09 GMT"}, 9.0),
        ({"retry-after": "Sat, 21 Nov 2026 05:00:09 GMT", "date": "Sat, 21 Nov 2026 05:00:04 GMT"}, 5.0),
        ({"retry-after": "Sat, 21 Nov 2026 00:00:09 GMT", "date": "yesterday"}, 9.0),
        ({"retry-after": "Fri, 20 Nov 2026 23:00:00 GMT"}, None),
        ({"retry-after": "Sat, 21 Nov 99999 00:00:09 GMT"}, None),
        ({"retry-after": "Sat Nov 21 00:00:05 2026"}, 5.0),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e400"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_both_forms_and_nonsense(headers: dict[str, str], expected: float | None) -> None:
    """Seconds and dates, by the server's own clock where it shows it; all that says nothing is as if absent."""
    assert retry_after(headers, NOW) == expected


def test_our_clock_stands_in() -> None:
    """Without a Date of the server the time is measured from now."""
    assert retry_after({"retry-after": "Fri, 01 Jan 2100 00:00:00 GMT"}) == pytest.approx(
        (datetime(2100, 1, 1, tzinfo=UTC) - datetime.now(UTC)).total_seconds(), abs=5
    )


def test_usable_times() -> None:
    """What a provider read from a body is checked likewise."""
    assert [usable(value) for value in (None, -1.0, 0.0, 2.0, float("inf"))] == [None, None, None, 2.0, None]
