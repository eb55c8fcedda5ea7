"""A stray quote makes the csv module read rows as the text of a cell: none of them may be lost without a word."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import ManifestConfig
from pipeline.manifest import open_manifest
from pipeline.records import Failure, Row, image_name

_IMAGES = ("pics/{}.jpg", "https://x.example/{}", "//cdn.example/{}.png", "token:{}", "{}.webp")
_ORDERS = (("id", "image", "title"), ("title", "id", "image"), ("id", "title", "image"), ("id", "image"))


def rows_of(text: str) -> list[Row | Failure]:
    """Read a csv manifest."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.csv")
        path.write_text(text, newline="")
        with open_manifest(ManifestConfig(path=str(path))) as manifest:
            return list(manifest.rows())


def _https(image: str) -> str:
    return f"https:{image}" if image.startswith("//") else image


def _image(row: Row | Failure) -> str | None:
    return image_name(row.image) if isinstance(row, Row) else None


@given(data=st.data())
@settings(max_examples=300)
def test_stray_quotes_lose_no_row_without_a_word(data: st.DataObject) -> None:
    """Whatever quotes are left over in a table of one line a row: each line is a row, or a failure names it."""
    order, image = data.draw(st.sampled_from(_ORDERS)), data.draw(st.sampled_from(_IMAGES))
    count = data.draw(st.integers(2, 8))
    quoted = data.draw(st.dictionaries(st.integers(0, count - 1), st.tuples(st.booleans(), st.sampled_from(order))))
    lines, written = [",".join(order)], {}
    for number in range(count):
        cells = {"id": f"r{number}", "image": image.format(number), "title": f"Title {number}"}
        written[number + 2] = (cells["id"], _https(cells["image"]))
        if number in quoted:
            is_start, column = quoted[number]
            cells[column] = f'"{cells[column]}' if is_start else f'{cells[column]}"'
        lines.append(",".join(cells[name] for name in order))
    rows = rows_of("\n".join(lines) + "\n")
    assert [row.line for row in rows] == list(written)
    for row in rows:
        if isinstance(row, Row) and row.line - 2 not in quoted:
            assert (row.id, _image(row)) == written[row.line]
    assert {row.line - 2 for row in rows if isinstance(row, Failure)} <= quoted.keys()


_prose = st.lists(st.text(st.sampled_from("ab ,\"'.éß;\t"), max_size=20), min_size=1, max_size=4).map("\n".join)


@given(st.lists(st.tuples(st.sampled_from(_IMAGES), _prose), min_size=1, max_size=5))
@settings(max_examples=200)
def test_text_over_several_lines_stays_text(rows: list[tuple[str, str]]) -> None:
    """A cell of several lines that is quoted as it should be is a cell, however many commas its lines have."""
    out = io.StringIO(newline="")
    cells = [(f"r{number}", image.format(number), text) for number, (image, text) in enumerate(rows)]
    csv.writer(out).writerows([("id", "image", "title"), *cells])
    assert [(row.id, _image(row)) for row in rows_of(out.getvalue())] == [
        (row_id, _https(image)) for row_id, image, _ in cells
    ]


def test_the_message_says_which_lines_were_swallowed() -> None:
    """The lines are those in the file, and the way out is named."""
    failure, *rows = rows_of('id,image,title\na,a.png,"5 inch\nb,b.png,x\nc,c.png,6"\n')
    assert isinstance(failure, Failure)
    assert (failure.line, failure.code) == (2, "bad-line")
    assert "goes on through lines 3 to 4" in failure.message
    assert '("")' in failure.message
    assert [row.id for row in rows] == ["b", "c"]


@pytest.mark.parametrize("lines", [2, 400])
def test_a_long_text_is_read_whole(lines: int) -> None:
    """A cell may be as long as a line may be."""
    text = "\n".join("word " * 400 for _ in range(lines))
    (row,) = rows_of(f'id,image,title\na,a.png,"{text}"\n')
    assert row.id == "a"
    assert csv.field_size_limit() >= 1_000_000
