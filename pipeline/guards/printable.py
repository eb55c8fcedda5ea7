"""Makes texts of others safe to show: what servers, pictures and file names say never controls a terminal or a log."""

from __future__ import annotations

import re
from typing import Final

# C0, DEL and C1 (among them newlines, and what begins ANSI and OSC sequences), what turns the direction of text, the
# line and paragraph separators, and halves of characters, which no encoding has.
_CONTROL: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)  # fmt: skip


def printable(text: str) -> str:
    r"""Return `text` as one line of characters that can be shown; others are written like \u001b, as JSON does."""
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def printable_lines(text: str) -> str:
    """Return a text of several lines in which only the line ends are left as they are."""
    return "\n".join(map(printable, text.split("\n")))
