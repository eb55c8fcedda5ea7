"""What the cells that name a row and its picture may hold: one set of rules, for manifests and for catalogues."""

from __future__ import annotations

import re
from typing import Literal

from pipeline.errors import LineError
from pipeline.tabular.parsing import LineFields

MAX_ID_CHARS = 1000
SHOWN_CHARS = 200
ImageKind = Literal["path", "url", "token"]

_ROOT = "the root folder (the setting `root`, or else the table's own folder)"
_TOKEN = "token:"  # noqa: S105 - the prefix of an image's cell, not a secret
_DRIVE = re.compile(r"[A-Za-z]:")
_SEPARATORS = re.compile(r"[/\\]")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# A scheme with two slashes, or one of those that go without; "photo:1.jpg" is the name of a file.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://|(https?|data|file|blob|cid|urn|javascript):", re.IGNORECASE)
# "//cdn.example.com/a.jpg", as pages of shops have it; a network share has no dot in its name.
_WITHOUT_SCHEME = re.compile(r"//[\w-]+(\.[\w-]+)+(:\d+)?/")
_URL = re.compile(
    r"https?://(?:[^/?#@\s]*@)?(?:[^/?#@:\s\[\]]+|\[[\da-f:.]+\])(?::\d{1,5})?(?:[/?#]\S*)?", re.IGNORECASE
)


def read_text(value: object, column: str) -> str | None:
    """Return a cell's trimmed text, None for nothing; raises LineError "bad-value" for other types."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise LineError("bad-value", f"{column!r} must be text, not {shown(repr(value))}")
    return value.strip() or None


def read_id(fields: LineFields, column: str, image_column: str) -> str:
    """Return the id in `column`: text, a number or true; without such a column the image's text is the id."""
    if column not in fields:
        return check_id(read_image_text(fields, image_column))
    value = fields[column]
    text = read_text(str(value).lower() if isinstance(value, int) else value, column)
    if text is None:
        raise LineError("empty-id", f"{column!r} is empty; every row needs an id of its own")
    return check_id(text)


def check_id(text: str) -> str:
    """Return an id; raises LineError "bad-id" where it is too long or can't be shown."""
    if len(text) > MAX_ID_CHARS:
        raise LineError("bad-id", f"the id has {len(text)} characters; give the row one of {MAX_ID_CHARS} at most")
    _check_printable(text, "bad-id", "the id")
    return text


def read_image_text(fields: LineFields, column: str) -> str:
    """Return what `column` says about where a picture is; raises LineError where it says nothing."""
    text = read_text(fields.get(column), column)
    if text is None:
        raise LineError("missing-image", f"{column!r} is empty; give a path, a URL or token:...")
    _check_printable(text, "bad-image", "the image")
    return text


def read_image(fields: LineFields, column: str) -> tuple[ImageKind, str]:
    """Return what the image in `column` is, and its relative path, its http(s) URL, or its token without the prefix.

    A path is checked as text only; where links lead is for the caller to see. Raises LineError for any other text.
    """
    text = read_image_text(fields, column)
    if ":" in text:
        if text.startswith(("http://", "https://")):
            return "url", _checked_url(text)
        if text.startswith(_TOKEN):
            return "token", _checked_token(text.removeprefix(_TOKEN).strip())
        if match := _SCHEME.match(text):
            return "url", _url_with_scheme(text, (match[1] or match[2]).lower())
    if _WITHOUT_SCHEME.match(text):
        return "url", _checked_url(f"https:{text}")
    _check_relative(text)
    return "path", text


def shown(text: str, limit: int = SHOWN_CHARS) -> str:
    """Return text of a table for a message: cut to `limit` characters, and valid Unicode."""
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    return text.encode("utf-8", "backslashreplace").decode()


def _url_with_scheme(text: str, scheme: str) -> str:
    if scheme not in {"http", "https"}:
        raise LineError("unsupported-scheme", f"{scheme}: is not supported; use http(s)://, token: or a path")
    return _checked_url(text)


def _checked_url(text: str) -> str:
    if _URL.fullmatch(text) is None:
        raise LineError("bad-url", f"{shown(text)!r} is no complete URL (blanks are written %20)")
    return text


def _checked_token(token: str) -> str:
    if not token or " " in token:
        raise LineError("bad-token", "token: must be followed by one insights token without blanks")
    return token


def _check_relative(name: str) -> None:
    if name[0] in "/\\" or _DRIVE.match(name):
        raise LineError("outside-root", f"{name!r} is an absolute path; write it relative to {_ROOT}")
    if ".." in name and ".." in _SEPARATORS.split(name):
        raise LineError("outside-root", f"{name!r} contains '..'; write its path below {_ROOT}")


def _check_printable(text: str, code: str, what: str) -> None:
    if not text.isprintable() and _UNPRINTABLE.search(text):
        raise LineError(code, f"{what} {shown(repr(text))} holds control characters or bytes that are not UTF-8")
