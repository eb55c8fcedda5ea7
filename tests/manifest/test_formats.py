"""Rows come out of every format as they went in, whatever it is packed in."""

from __future__ import annotations

import csv
import gzip
import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import ManifestConfig
from pipeline.errors import TableError
from pipeline.manifest import open_manifest
from pipeline.records import ArchiveMember, CloudFile, Failure, InsightsToken, LocalFile, RemoteUrl, Row

Cells = dict[str, str]

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


def _table(cells: Sequence[Cells], delimiter: str) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, ["id", "image", "title"], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(cells)
    return out.getvalue().encode()


WRITERS: dict[str, Callable[[Sequence[Cells]], bytes]] = {
    "csv": lambda cells: _table(cells, ","),
    "tsv": lambda cells: _table(cells, "\t"),
    "jsonl": lambda cells: b"".join(orjson.dumps(row) + b"\n" for row in cells),
    "txt": lambda cells: "".join(f"{row['image']}\n" for row in cells).encode(),
}


def rows_of(path: Path, **config: object) -> list[Row | Failure]:
    with open_manifest(ManifestConfig.model_validate({"path": str(path), **config})) as manifest:
        return list(manifest.rows())


def _image_text(row: Row | Failure) -> str:
    assert isinstance(row, Row), row
    match row.image:
        case LocalFile(name=name) | ArchiveMember(name=name):
            return name
        case RemoteUrl(url=url) | CloudFile(url=url):
            return url
        case InsightsToken(token=token):
            return f"token:{token}"


_word = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="\\:/"), min_size=1)
_word = _word.filter(lambda word: ".." not in word)
_image = st.one_of(
    _word,
    st.builds("{}/{}".format, _word, _word),
    st.builds("https://example.org/{}".format, _word),
    st.builds("token:{}".format, _word),
)
_title = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
_cells = st.lists(st.fixed_dictionaries({"id": _word, "image": _image, "title": _title}), min_size=1, max_size=8)


@given(cells=_cells, form=st.sampled_from(list(WRITERS)), packing=st.sampled_from(list(PACKERS)))
def test_what_is_written_is_read(cells: list[Cells], form: str, packing: str) -> None:
    """A manifest's rows are what was written: ids, images, carried text with quotes and line breaks, order, numbers."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"m.{form}{packing}")
        path.write_bytes(PACKERS[packing](WRITERS[form](cells)))
        rows = rows_of(path) if form == "txt" else rows_of(path, carry=["title"])
    assert [_image_text(row) for row in rows] == [row["image"] for row in cells]
    assert [row.ordinal for row in rows] == list(range(len(cells)))
    if form == "txt":
        assert [row.id for row in rows] == [row["image"] for row in cells]
    else:
        assert [row.id for row in rows] == [row["id"] for row in cells]
        assert [row.carry for row in rows if isinstance(row, Row)] == [{"title": row["title"]} for row in cells]


def test_json_values_are_carried_as_they_are(tmp_path: Path) -> None:
    """A carried column of a JSON line keeps its type; one that is absent stays absent."""
    path = tmp_path / "m.jsonl"
    path.write_text('{"id": 7, "image": "a.jpg", "tags": ["x", 1, null], "price": 9.5}\n{"image": "b.jpg"}\n')
    first, second = rows_of(path, carry=["tags", "price"])
    assert isinstance(first, Row)
    assert isinstance(second, Row)
    assert (first.id, first.carry) == ("7", {"tags": ["x", 1, None], "price": 9.5})
    assert (second.id, second.carry) == ("b.jpg", {})


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_a_mark_blank_lines_and_any_line_end_are_taken(tmp_path: Path, end: str) -> None:
    """A byte order mark, blank lines, and the line ends of three worlds change neither rows nor line numbers."""
    path = tmp_path / "m.csv"
    path.write_bytes(("\ufeff" + end.join(["", "id, image ", "1,a.jpg", "", "  ", "2,b.jpg"])).encode())
    assert [(row.id, row.line) for row in rows_of(path)] == [("1", 3), ("2", 6)]


def test_quoted_line_breaks_count_as_lines(tmp_path: Path) -> None:
    """A row's line is the one it starts on, also behind values that span several lines."""
    path = tmp_path / "m.csv"
    path.write_text('id,image,note\n1,a.jpg,"two\nlines"\n2,b.jpg,"three\n\n\nof them"\n3,c.jpg,x\n')
    assert [(row.id, row.line) for row in rows_of(path)] == [("1", 2), ("2", 4), ("3", 8)]


def test_columns_may_be_named_otherwise(tmp_path: Path) -> None:
    """The config says which column holds the id, the image and the rest; values are trimmed, empty ones absent."""
    path = tmp_path / "m.tsv"
    path.write_text("sku\tfile\troi\tq\tshop\tmkt\n 1 \t a.jpg \t0,0,0.5,1\t mug \t\tde-DE\n")
    columns = {"id": "sku", "image": "file", "crop": "roi", "query": "q", "site": "shop", "market": "mkt"}
    (row,) = rows_of(path, columns=columns)
    assert isinstance(row, Row)
    assert (row.id, row.query, row.site, row.market) == ("1", "mug", None, "de-DE")
    assert row.image == LocalFile(path=str(tmp_path.resolve() / "a.jpg"), name="a.jpg")
    assert row.crop is not None
    assert (row.crop.left, row.crop.top, row.crop.right, row.crop.bottom) == (0, 0, 0.5, 1)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("photo:1.jpg", LocalFile),
        ("./a.jpg", LocalFile),
        ("HTTPS://[::1]:8/x?y#z", RemoteUrl),
        ("token: t", InsightsToken),
    ],
)
def test_the_form_of_an_image_is_told_by_its_text(tmp_path: Path, path: str, kind: type) -> None:
    """A colon alone makes no URL; schemes are read in any case; a token stands behind its prefix."""
    manifest = tmp_path / "m.txt"
    manifest.write_text(path)
    (row,) = rows_of(manifest)
    assert isinstance(row, Row)
    assert isinstance(row.image, kind)


@pytest.mark.parametrize(
    "frames",
    [
        lambda data: zstandard.ZstdCompressor().compress(data[:9]) + zstandard.ZstdCompressor().compress(data[9:]),
        lambda data: b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc" + zstandard.ZstdCompressor().compress(data),
    ],
    ids=["two frames", "a skippable frame"],
)
def test_zst_files_may_have_several_frames(tmp_path: Path, frames: Callable[[bytes], bytes]) -> None:
    """Frames written one after another, as parallel compressors do, are one file."""
    path = tmp_path / "m.txt.zst"
    path.write_bytes(frames(b"a.jpg\nb.jpg\nc.jpg\n"))
    assert [row.id for row in rows_of(path)] == ["a.jpg", "b.jpg", "c.jpg"]


@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_a_file_cut_short_ends_with_the_line_reached(tmp_path: Path, packing: str) -> None:
    """A truncated .gz or .zst gives the rows before the cut, then says where it broke."""
    lines = b"".join(b"%d.jpg\n" % number for number in range(20_000))
    path = tmp_path / f"m.txt{packing}"
    whole = PACKERS[packing](lines)
    path.write_bytes(whole[: len(whole) * 9 // 10])
    ids: list[str | None] = []
    with open_manifest(ManifestConfig(path=str(path))) as manifest, pytest.raises(TableError) as raised:
        ids.extend(row.id for row in manifest.rows())
    assert 10_000 < len(ids) < 20_000
    assert ids == [f"{number}.jpg" for number in range(len(ids))]
    assert f"after line {len(ids)}" in str(raised.value)


@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_what_is_not_compressed_is_refused(tmp_path: Path, packing: str) -> None:
    """A file that only says it is compressed is a clear error, not rows of garbage."""
    path = tmp_path / f"m.txt{packing}"
    path.write_bytes(b"a.jpg\nb.jpg\n")
    with pytest.raises(TableError, match="line 0"):
        open_manifest(ManifestConfig(path=str(path)))
