"""Show text that strangers wrote, in a log line or on a terminal, without letting it act there."""

from __future__ import annotations

import re

# Control characters (C0, DEL, C1), which can begin a terminal's commands; marks that turn the direction of text;
# separators of lines; halves of characters, which can't be encoded.
_ACTING = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Return text on one line, in which every character that acts instead of being shown is written as \x1b."""
    return _ACTING.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
