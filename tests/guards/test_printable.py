"""Text of strangers is shown, and does nothing."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.guards.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Blue mug, 3 €, 青い", "Blue mug, 3 €, 青い"),
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("a\r\nb\tc", "a\\x0d\\x0ab\\x09c"),
        ("\x9b31m", "\\x9b31m"),
        ("gpj.\u202egnp", "gpj.\\u202egnp"),
        ("half \ud800", "half \\ud800"),
    ],
    ids=["plain", "osc", "lines", "c1", "bidi", "surrogate"],
)
def test_what_acts_is_written_out(text: str, shown: str) -> None:
    """Letters stay as they are; what a terminal would act on becomes an escape."""
    assert printable(text) == shown


@given(st.text(st.characters()))
def test_nothing_that_acts_is_left(text: str) -> None:
    """No control character, separator of lines or half character passes, and every result can be encoded."""
    result = printable(text)
    assert not {unicodedata.category(char) for char in result} & {"Cc", "Zl", "Zp", "Cs"}
    result.encode()
