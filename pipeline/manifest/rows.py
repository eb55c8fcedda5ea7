"""One line's fields to one Row, or to the Failure that says why not: pure but for the look at links in root.py."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from pipeline.config import Columns
from pipeline.errors import LineError
from pipeline.manifest.folder import read_found
from pipeline.manifest.root import Root
from pipeline.records import Crop, Failure, Image, InsightsToken, RemoteUrl, Row
from pipeline.tabular.formats import Reader
from pipeline.tabular.line_reader import LineReader

MAX_ID_CHARS = 1000
_SHOWN_CHARS = 200
_TOKEN = "token:"  # noqa: S105 - the prefix of a manifest entry, not a secret
_SIDES = ("left", "top", "right", "bottom")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# A scheme with two slashes, or one of those that go without; "photo:1.jpg" is the name of a file.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://|(https?|data|file|blob|cid|urn|javascript):", re.IGNORECASE)
_URL = re.compile(
    r"https?://(?:[^/?#@\s]*@)?(?:[^/?#@:\s\[\]]+|\[[\da-f:.]+\])(?::\d{1,5})?(?:[/?#]\S*)?", re.IGNORECASE
)


def rows_of_entries(line_reader: LineReader, ordinal: int, reader: Reader, rules: RowRules) -> Iterator[Row | Failure]:
    """Turn what a manifest's lines say into rows, the first of them number `ordinal`."""
    for number, (line, fields) in enumerate(reader(line_reader), ordinal):
        yield rules.read(fields, line=line, ordinal=number)


def rows_of_files(line_reader: LineReader, ordinal: int, rules: RowRules) -> Iterator[Row | Failure]:
    """Turn the files of a folder into rows; the first file counts as line 1."""
    for number, found in enumerate(line_reader, ordinal):
        yield rules.read_file(*read_found(found), ordinal=number)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRules:
    """How fields become a row: which column holds what, where pictures lie, which columns are carried along."""

    columns: Columns
    root: Root
    carry: tuple[str, ...] = ()

    def read(self, fields: Mapping[str, Any] | LineError, *, line: int, ordinal: int) -> Row | Failure:
        """Build the row of one line, or the Failure of stage "manifest" that names the line and what is wrong."""
        if isinstance(fields, LineError):
            return _failure(fields, f"line {line}", row_id=None, image=None, line=line, ordinal=ordinal)
        row_id = None
        try:
            row_id = self._id(fields)
            return self._row(fields, row_id, line, ordinal)
        except LineError as exc:
            image = fields.get(self.columns.image)
            return _failure(exc, f"line {line}", row_id=row_id, image=image, line=line, ordinal=ordinal)

    def read_file(self, name: str, error: LineError | None, *, ordinal: int) -> Row | Failure:
        """Build the row of one file of a folder; its name is taken as it is, blanks and colons too."""
        row_id = None
        try:
            if error is not None:
                raise error
            row_id = _checked_id(name)
            return Row(id=name, image=self.root.look_up(name), ordinal=ordinal, line=ordinal + 1)
        except LineError as exc:
            return _failure(exc, "folder", row_id=row_id, image=name, line=ordinal + 1, ordinal=ordinal)

    def _id(self, fields: Mapping[str, Any]) -> str:
        """Return the row's id; a row without that column is named by its image."""
        name = self.columns.id
        if name not in fields:
            return _checked_id(self._image_text(fields))
        value = fields[name]
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        text = _text(value, name)
        if text is None:
            raise LineError("empty-id", f"{name!r} is empty; every row needs an id of its own")
        return _checked_id(text)

    def _row(self, fields: Mapping[str, Any], row_id: str, line: int, ordinal: int) -> Row:
        columns, get = self.columns, fields.get
        return Row(
            id=row_id,
            image=self._image(self._image_text(fields)),
            ordinal=ordinal,
            line=line,
            crop=None if (crop := get(columns.crop)) is None else read_crop(crop),
            query=None if (query := get(columns.query)) is None else _text(query, columns.query),
            site=None if (site := get(columns.site)) is None else _text(site, columns.site),
            market=None if (market := get(columns.market)) is None else _text(market, columns.market),
            carry={name: fields[name] for name in self.carry if name in fields} if self.carry else {},
        )

    def _image_text(self, fields: Mapping[str, Any]) -> str:
        name = self.columns.image
        text = _text(fields.get(name), name)
        if text is None:
            raise LineError("missing-image", f"{name!r} is empty; give a path, a URL or token:...")
        _check_printable(text, "bad-image", "the image")
        return text

    def _image(self, text: str) -> Image:
        """Tell apart the forms of an image: a token, a URL, a path below the root."""
        if ":" in text and (remote := _remote(text)) is not None:
            return remote
        return self.root.locate(text)


def _failure(error: LineError, place: str, *, row_id: str | None, image: object, line: int, ordinal: int) -> Failure:
    """Turn what is wrong into a Failure; whatever it shows of the manifest is cut short and can be encoded."""
    return Failure(
        id=row_id,
        line=line,
        ordinal=ordinal,
        image=_shown(image) if isinstance(image, str) and image else None,
        stage="manifest",
        code=error.code,
        message=f"{place}: {_shown(str(error), 2 * _SHOWN_CHARS)}",
    )


def _checked_id(text: str) -> str:
    if len(text) > MAX_ID_CHARS:
        raise LineError("bad-id", f"the id has {len(text)} characters; give the row one of {MAX_ID_CHARS} at most")
    _check_printable(text, "bad-id", "the id")
    return text


def read_crop(value: object) -> Crop | None:
    """Read "left,top,right,bottom", the same four in a list, or an object with these keys, all fractions 0..1.

    None for empty text. Raises LineError "bad-crop" unless left < right and top < bottom within 0..1.
    """
    if isinstance(value, str):
        if not (text := value.strip()):
            return None
        value = _split_crop(text)
    if isinstance(value, dict) and value.keys() == set(_SIDES):
        value = [value[side] for side in _SIDES]
    if not isinstance(value, list) or len(value) != len(_SIDES):
        raise LineError("bad-crop", 'crop must be four fractions: "left,top,right,bottom", such as "0.1,0.2,0.9,0.8"')
    left, top, right, bottom = (_fraction(part) for part in value)
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise LineError("bad-crop", f"crop {value} must keep 0 <= left < right <= 1 and 0 <= top < bottom <= 1")
    return Crop(left=left, top=top, right=right, bottom=bottom)


def _split_crop(text: str) -> object:
    if text[0] not in "{[":
        return text.split(",")
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _fraction(part: object) -> float:
    try:
        number = float(part) if isinstance(part, (str, int, float)) and not isinstance(part, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise LineError("bad-crop", f"crop holds {_shown(repr(part))}, which is no fraction between 0 and 1")
    return number


def _remote(text: str) -> Image | None:
    """Read a token or a URL; None for a path that merely has a colon in it."""
    if text.startswith(("http://", "https://")):
        return RemoteUrl(url=_url(text))
    if text.startswith(_TOKEN):
        return InsightsToken(token=_token(text.removeprefix(_TOKEN).strip()))
    match = _SCHEME.match(text)
    if match is None:
        return None
    scheme = (match[1] or match[2]).lower()
    if scheme not in {"http", "https"}:
        raise LineError("unsupported-scheme", f"{scheme}: is not supported; use http(s)://, token: or a path")
    return RemoteUrl(url=_url(text))


def _token(token: str) -> str:
    if not token or " " in token:
        raise LineError("bad-token", "token: must be followed by one insights token without blanks")
    return token


def _url(text: str) -> str:
    if _URL.fullmatch(text) is None:
        raise LineError("bad-url", f"{_shown(text)!r} is no complete URL (blanks are written %20)")
    return text


def _text(value: object, column: str) -> str | None:
    """Return the trimmed text, None for nothing; raises LineError "bad-value" for other types."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise LineError("bad-value", f"{column!r} must be text, not {_shown(repr(value))}")
    return value.strip() or None


def _check_printable(text: str, code: str, what: str) -> None:
    if not text.isprintable() and _UNPRINTABLE.search(text):
        raise LineError(code, f"{what} {_shown(repr(text))} holds control characters or bytes that are not UTF-8")


def _shown(text: str, limit: int = _SHOWN_CHARS) -> str:
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    return text.encode("utf-8", "backslashreplace").decode()
