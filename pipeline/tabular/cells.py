"""What the cells that name a row and its picture may hold: one set of rules, for manifests and for catalogues."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.errors import LineError
from pipeline.guards.signed_urls import without_signatures
from pipeline.tabular.location import CLOUD_SCHEMES, MISSING_PACKAGE, has_cloud_package, local_path
from pipeline.tabular.parsing import LineFields

MAX_ID_CHARS = 1000
SHOWN_CHARS = 200
ImageKind = Literal["path", "url", "cloud", "token"]

# Between the columns of a composed id, and before the number of a picture from the second in its cell on.
_SEPARATOR, _NUMBER = "|", "#"
_TOKEN = "token:"  # noqa: S105 - the prefix of an image's cell, not a secret
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# A scheme with two slashes, or one of those that go without; "photo:1.jpg" is the name of a file.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://|(https?|data|file|blob|cid|urn|javascript):", re.IGNORECASE)
# "//cdn.example.com/a.jpg", as pages of shops have it; a network share has no dot in its name.
_WITHOUT_SCHEME = re.compile(r"//[\w-]+(\.[\w-]+)+(:\d+)?/")
_STORED = re.compile(r"\w+://[^/]+/.*[^/]")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """Which cells name a row and its pictures.

    The id comes from the columns `ids`, or is the image's text where there are none. `image` may hold several pictures,
    separated by `split`: they are rows of their own. `skips` rows without a picture, if that is wanted.
    """

    ids: tuple[str, ...]
    image: str
    split: str = ""
    skips: bool = False

    def is_skipped(self, fields: LineFields) -> bool:
        """Return True for a line without a picture where such lines are no rows."""
        return self.skips and not has_text(fields.get(self.image))

    def read_id(self, fields: LineFields) -> str | None:
        """Return the id of a line: text, a number or true, composed where it has several columns; None without any.

        Raises LineError where it is empty, too long or can't be shown.
        """
        if len(self.ids) == 1:
            text = _id_text(fields[self.ids[0]], self.ids[0]) if self.ids[0] in fields else None
        elif any(name in fields for name in self.ids):
            parts = [_id_text(fields.get(name), name) for name in self.ids]
            text = _SEPARATOR.join(map(_escaped, parts)) if any(parts) else ""
        else:
            text = None
        if text == "":
            names = " and ".join(map(repr, self.ids))
            verb = "is" if len(self.ids) == 1 else "are"
            raise LineError("empty-id", f"{names} {verb} empty; every row needs an id of its own")
        return None if text is None else check_id(text)

    def read_images(self, fields: LineFields, row_id: str | None) -> Sequence[tuple[str, str]]:
        """Return the id and the text of each picture of a line with this id; raises LineError where there is none."""
        value = fields.get(self.image)
        if not self.split:
            text = read_image_text(value, self.image)
            return ((row_id or check_id(text), text),)
        texts = [read_image_text(part, self.image) for part in self._parts(value)]
        if row_id is None:
            return [(check_id(text), text) for text in texts]
        return [(f"{row_id}{_NUMBER}{number}" if number > 1 else row_id, text) for number, text in enumerate(texts, 1)]

    def _parts(self, value: object) -> list[object]:
        """Return what a cell says about each of its pictures; one that is named twice is one picture."""
        if isinstance(value, str):
            value = [text for part in value.split(self.split) if (text := part.strip())]
        if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
            return list(dict.fromkeys(value))
        return [value or None]


def has_text(value: object) -> bool:
    """Return True for a cell that isn't empty."""
    return bool(value.strip()) if isinstance(value, str) else value is not None and value != []


def _id_text(value: object, column: str) -> str:
    if isinstance(value, str):
        return value.strip()
    return read_text(str(value).lower() if isinstance(value, int) else value, column) or ""


def _escaped(part: str) -> str:
    """Return a part of an id such that different parts never make the same id."""
    return part.replace("\\", "\\\\").replace(_SEPARATOR, f"\\{_SEPARATOR}")


def check_id(text: str) -> str:
    """Return an id, a URL without its signature; raises LineError "bad-id" where it is too long or can't be shown."""
    text = without_signatures(text)
    if len(text) > MAX_ID_CHARS:
        raise LineError("bad-id", f"the id has {len(text)} characters; give the row one of {MAX_ID_CHARS} at most")
    _check_printable(text, "bad-id", "the id")
    return text


def read_image_text(value: object, column: str) -> str:
    """Return what a cell of `column` says about where a picture is; raises LineError where it says nothing."""
    text = read_text(value, column)
    if text is None:
        raise LineError("missing-image", f"{column!r} is empty; give a path, a URL or token:...")
    _check_printable(text, "bad-image", "the image")
    return text


def read_image(text: str) -> tuple[ImageKind, str]:
    """Return what an image's text is, and its path, its URL, or its token without the prefix.

    Where a path leads is for the root to say. Raises LineError for any other text.
    """
    if ":" in text:
        if text.startswith(("http://", "https://")):
            return "url", _checked_url(text)
        if text.startswith(_TOKEN):
            return "token", _checked_token(text.removeprefix(_TOKEN).strip())
        if match := _SCHEME.match(text):
            return _with_scheme(text, (match[1] or match[2]).lower())
    if _WITHOUT_SCHEME.match(text):
        return "url", _checked_url(f"https:{text}")
    return "path", text


def shown(text: str, limit: int = SHOWN_CHARS) -> str:
    """Return text of a table for a message: without signatures, cut to `limit` characters, and valid Unicode."""
    text = without_signatures(text)
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    return text.encode("utf-8", "backslashreplace").decode()


def _with_scheme(text: str, scheme: str) -> tuple[ImageKind, str]:
    if scheme in {"http", "https"}:
        return "url", _checked_url(text)
    if scheme == "file" and (path := local_path(text)) != text:
        return "path", path
    if scheme not in CLOUD_SCHEMES:
        raise LineError("unsupported-scheme", f"{scheme}: is not supported; use http(s)://, s3://, token: or a path")
    if not has_cloud_package():
        raise LineError("unsupported-scheme", f"{scheme}: {MISSING_PACKAGE}")
    if _STORED.fullmatch(text) is None:
        raise LineError("bad-url", f"{shown(text)!r} names no file of a bucket")
    return "cloud", text


def _checked_url(text: str) -> str:
    if _URL.fullmatch(text) is None:
        raise LineError("bad-url", f"{shown(text)!r} is no complete URL (blanks are written %20)")
    return text


def _checked_token(token: str) -> str:
    if not token or " " in token:
        raise LineError("bad-token", "token: must be followed by one insights token without blanks")
    return token


def _check_printable(text: str, code: str, what: str) -> None:
    if not text.isprintable() and _UNPRINTABLE.search(text):
        raise LineError(code, f"{what} {shown(repr(text))} holds control characters or bytes that are not UTF-8")
