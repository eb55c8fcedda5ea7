"""The JSON of an answer: read strictly first, and then as far as it can be understood. Pure.

Services send NaN, lone surrogates, raw control characters, bytes that are not UTF-8, and UTF-16. An answer that was
paid for is read in spite of them. Whatever is returned can be written as JSON again.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import Any, Final

import orjson

_UTF8_MARK: Final = codecs.BOM_UTF8
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_WIDEST: Final = 2**63  # integers below it fit into 64 bits, signed or not, with every JSON writer


def parse_json(body: bytes) -> Any:
    """Return the JSON of a body, which may begin with a byte order mark, or None if it is not JSON.

    What has no place in JSON is replaced: bytes that are not text by U+FFFD, NaN and infinities by null, integers of
    more than 64 bits by floating-point numbers.
    """
    try:
        return orjson.loads(body.removeprefix(_UTF8_MARK))
    except orjson.JSONDecodeError:
        pass
    try:
        return _writable(json.loads(_text(body), strict=False, parse_constant=lambda _: None))
    except (ValueError, RecursionError):
        return None


def is_damaged_json(body: bytes) -> bool:
    """Return True for a body that begins like JSON and is wrong before its end: it was not merely cut off."""
    text = _text(body).strip()
    if not text.startswith(("{", "[")):
        return False
    try:
        json.loads(text, strict=False)
    except json.JSONDecodeError as exc:
        return exc.pos < len(text) and not exc.msg.startswith("Unterminated string")
    except RecursionError:
        return True
    return False


def _text(body: bytes) -> str:
    """Decode a body by its byte order mark, or by where its zero bytes are, as JSON begins with ASCII."""
    for mark, encoding in _MARKS:
        if body.startswith(mark):
            return body.decode(encoding, "replace")
    match [byte == 0 for byte in body[:2]]:
        case [False, True]:
            return body.decode("utf-16-le", "replace")
        case [True, False]:
            return body.decode("utf-16-be", "replace")
    return body.removeprefix(_UTF8_MARK).decode("utf-8", "replace")


def _writable(value: Any) -> Any:
    """Return a value that every JSON writer can write; raises RecursionError where it is nested too deeply."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_SURROGATE.sub("\ufffd", key): _writable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_writable(inner) for inner in value]
    if isinstance(value, int) and not -_WIDEST <= value < _WIDEST and not isinstance(value, bool):
        return _as_float(value)
    return value


def _as_float(value: int) -> float | None:
    """Return an integer as a floating-point number, or None where even that is too small for it."""
    try:
        return float(value)
    except OverflowError:
        return None
