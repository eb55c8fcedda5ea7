"""From a record or a failure to the short list of values that the page holds of a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pipeline.sink.job_lines import CurrentLine

# The values of an entry, in their order; rows.js names them too.
FIELDS = (
    "id",
    "status",
    "title",
    "picture",
    "tags",
    "lines",
    "price",
    "currency",
    "counts",
    "entities",
    "carry",
    "failure",
    "size",
    "format",
    "provider",
    "at",
    "place",
)
_TITLES = ("title", "name", "product", "caption", "headline")
_MOST_TAGS, _MOST_LINES, _MOST_ENTITIES = 12, 30, 6
_MOST_CHARS = 300  # of one text
_MOST_LINE_CHARS = 1200  # of the text in a picture
_WHOLE = [0, 0, 1000, 1000]


def entry(line: CurrentLine, carry: Sequence[str]) -> list[Any]:
    """Return the values of a row in the order of FIELDS; `carry` are the columns that its manifest carries along."""
    return _record_entry(line, carry) if line.is_record else _failure_entry(line, len(carry))


def seconds(moment: object) -> int:
    """Return a time such as 2026-01-31T23:59:59Z as Unix time, 0 where it is none."""
    try:
        return int(datetime.fromisoformat(str(moment)).timestamp())
    except ValueError:
        return 0


def record_title(record: Mapping[str, Any]) -> str:
    """Return what a person would call the picture: a carried title, a caption, or the best query."""
    carried = {name.lower(): value for name, value in record["carry"].items()}
    texts = (
        *(carried.get(name) for name in _TITLES),
        _inner(record, "caption", "text"),
        _inner(record, "best_query", "text"),
    )
    return _short(next((text for text in texts if text), ""))


def lowest_price(record: Mapping[str, Any]) -> tuple[float | None, str]:
    """Return the lowest price of a record's offers and its currency, None where it has none."""
    prices = [
        (price, str(offer.get("currency", "")))
        for offer in record.get("offers", [])
        if isinstance(price := offer.get("low_price", offer.get("price")), int | float)
    ]
    return min(prices, default=(None, ""))


def _record_entry(line: CurrentLine, carry: Sequence[str]) -> list[Any]:
    record = line.content
    source = record["source"]
    price, currency = lowest_price(record)
    return [
        record["id"],
        record["status"],
        record_title(record),
        source.get("path") or source.get("url") or "",
        [_tag(tag) for tag in record["tags"][:_MOST_TAGS]],
        list(_lines(record.get("text"))),
        price,
        currency,
        [
            len(record["pages"]),
            len(record["similar_images"]["items"]),
            len(record["offers"]),
            len(record.get("duplicates", [])),
        ],
        [_short(item.get("name", "")) for item in record["entities"][:_MOST_ENTITIES]],
        [_plain(record["carry"].get(name)) for name in carry],
        None,
        [source.get("width", 0), source.get("height", 0), source.get("bytes", 0)],
        source.get("format", ""),
        record["provider"],
        seconds(record["asked_at"]),
        [line.offset, line.length],
    ]


def _failure_entry(line: CurrentLine, carried: int) -> list[Any]:
    failure = line.content
    image = str(failure.get("image") or "")
    reason = [failure["code"], _short(failure["message"]), failure["stage"], bool(failure.get("retryable"))]
    named = failure.get("id") or f"line {failure['line']}"
    empty: list[Any] = [[], [], None, "", [0, 0, 0, 0], [], [None] * carried]
    facts = [[0, 0, 0], "", "", seconds(failure["at"])]
    return [named, "failed", "", image, *empty, reason, *facts, [line.offset, line.length]]


def _tag(tag: Mapping[str, Any]) -> list[Any]:
    confidence = tag.get("confidence")
    percent = round(100 * confidence) if isinstance(confidence, int | float) else None
    return [_short(tag["name"]), percent, _box(tag.get("box"))]


def _lines(text: Mapping[str, Any] | None) -> Iterator[list[Any]]:
    """Yield the lines of the text in a picture with their boxes, as far as there is room for them."""
    if not text:
        return
    lines = [line for region in text["regions"] for line in region["lines"]]
    given: Iterable[tuple[str, Any]] = ((line["text"], line.get("box")) for line in lines)
    if not lines:
        given = ((line, None) for line in text["full"].splitlines())
    chars = 0
    for number, (content, box) in enumerate(given):
        chars += len(content)
        if number >= _MOST_LINES or chars > _MOST_LINE_CHARS:
            return
        yield [_short(content), _box(box)]


def _box(box: Sequence[Mapping[str, float]] | None) -> list[int] | None:
    """Return a box in thousandths: two corners where its sides are upright, else four; None for the whole picture."""
    if not box:
        return None
    points = [round(1000 * point[axis]) for point in box for axis in ("x", "y")]
    xs, ys = points[::2], points[1::2]
    corners = [min(xs), min(ys), max(xs), max(ys)]
    if len(set(xs)) > 2 or len(set(ys)) > 2:
        return points
    return None if corners == _WHOLE else corners


def _inner(record: Mapping[str, Any], name: str, field: str) -> object:
    value = record.get(name)
    return value.get(field) if isinstance(value, dict) else None


def _plain(value: object) -> object:
    """Return a carried value as the page shows it: a number stays one, anything else is text."""
    return value if value is None or isinstance(value, int | float) else _short(value)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _MOST_CHARS else text[: _MOST_CHARS - 1] + "…"
