"""What `check` accepts, `run` reads: a manifest and the catalogue of the embedded service are read by one reader."""

from __future__ import annotations

import gzip
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import ManifestConfig
from pipeline.errors import TableError
from pipeline.manifest import open_manifest
from pipeline.records import Failure, Row, image_name
from pipeline.service.engine.catalogue import read_entries
from pipeline.service.findings import CatalogueConfig
from pipeline.tabular.decoding import MAX_LINE_CHARS

# A row's line, its id, and its image; the image is None for a row that is bad, the id too where it can't be read.
Read = tuple[int, str | None, str | None]


def read_manifest(path: Path, columns: dict[str, str], **reading: object) -> tuple[list[Read], str]:
    """Return the rows of a manifest, and why it can't be read (on)."""
    rows: list[Read] = []
    if ids := reading.pop("ids", None):
        columns |= {"id": ids}  # type: ignore[dict-item] # several, which the model takes
    try:
        with open_manifest(
            ManifestConfig.model_validate({"path": str(path), "columns": columns, **reading})
        ) as manifest:
            rows.extend((row.line, row.id, _image(row)) for row in manifest.rows())
    except TableError as exc:
        return rows, _reason(exc)
    return rows, ""


def _image(row: Row | Failure) -> str | None:
    return image_name(row.image) if isinstance(row, Row) else None


def read_catalogue(path: Path, columns: dict[str, str], **reading: Any) -> tuple[list[Read], str]:
    """Return the rows of a catalogue, and why it can't be read (on)."""
    rows: list[Read] = []
    # As a job serves its manifest: these two columns are always named.
    named = {"id": "id", "image": "image", **columns}
    try:
        for entry in read_entries(CatalogueConfig(path=path, columns=named, **reading)):
            if entry.is_cut:
                return rows, _reason(entry.problem)
            rows.append((entry.line, entry.fields["id"] or None, None if entry.problem else entry.fields["image"]))
    except TableError as exc:
        return rows, _reason(exc)
    return rows, ""


def _reason(problem: object) -> str:
    """Return a message without the settings that it names, which are the reader's own."""
    return str(problem).partition(" (see ")[0].replace("manifest.", "catalogue.")


GOOD: list[Read] = [(2, "a", "a.png"), (3, "b", "b.png")]
# The name of the file, its content, and what must come out of it.
TABLES: dict[str, tuple[str, bytes, list[Read]]] = {
    "a suffix of spreadsheets": ("m.tab", b"id\timage\na\ta.png\nb\tb.png\n", GOOD),
    "gz in capitals": ("m.csv.GZ", gzip.compress(b"id,image\na,a.png\nb,b.png\n"), GOOD),
    "zst in capitals": ("M.CSV.ZST", zstandard.compress(b"id,image\na,a.png\nb,b.png\n"), GOOD),
    "ndjson": ("m.ndjson", b'\n{"id": "a", "image": "a.png"}\n{"id": "b", "image": "b.png"}\n', GOOD),
    "blanks after commas": ("m.csv", b"id, image, title\na, a.png, A\nb, b.png, B\n", GOOD),
    "a byte order mark": ("m.csv", b"\xef\xbb\xbfid,image\r\na,a.png\r\nb,b.png", GOOD),
    "line ends of old": ("m.csv", b"id,image\ra,a.png\rb,b.png\r", GOOD),
    "a mark in a text": ("m.txt", b"\xef\xbb\xbfa.png\n b.png \n", [(1, "a.png", "a.png"), (2, "b.png", "b.png")]),
    "blank lines": ("m.csv", b"\nid,image\n\n  \na,a.png\n", [(5, "a", "a.png")]),
    "rows of commas": ("m.csv", b"id,image\n,\na,a.png\n , ,\n,\n,,,,\n", [(3, "a", "a.png")]),
    "semicolons": ("m.csv", b"id;image;title\na;a.png;x, y\nb;b.png;\n", GOOD),
    "bars": ("m.csv", b"id|image\na|a.png\nb|b.png\n", GOOD),
    "tabs in a csv": ("m.csv", b"id\timage\na\ta.png\nb\tb.png\n", GOOD),
    "commas in a tsv": ("m.tsv", b"id,image\na,a.png\nb,b.png\n", GOOD),
    "Excel's first line": (
        "m.csv",
        b"\xef\xbb\xbfsep=;\r\nid;image\r\na;a.png\r\nb;b.png",
        [(3, "a", "a.png"), (4, "b", "b.png")],
    ),
    "UTF-16": ("m.csv", "id,image\na,a.png\nb,b.png\n".encode("utf-16"), GOOD),
    "UTF-16 without a mark": ("m.tsv", "id\timage\na\ta.png\nb\tb.png\n".encode("utf-16-le"), GOOD),
    "a list in UTF-16": (
        "m.txt",
        "k\xe4se.png\nb.png".encode("utf-16"),
        [(1, "k\xe4se.png", "k\xe4se.png"), (2, "b.png", "b.png")],
    ),
    "a header in capitals": ("m.csv", b"Id, IMAGE ,Title\na,a.png,A\nb,b.png,B\n", GOOD),
    "keys in capitals": (
        "m.jsonl",
        b'{"ID": "a", "Image": "a.png"}\n{"image": "b.png", "Id ": "b"}\n',
        [(1, "a", "a.png"), (2, "b", "b.png")],
    ),
    "comments in a list": (
        "m.txt",
        b'# mine\r\na.png\r\n; old\r\n"b c.png"\r\n./#d.png',
        [(2, "a.png", "a.png"), (4, "b c.png", "b c.png"), (5, "./#d.png", "./#d.png")],
    ),
    "no id column": ("m.csv", b"image,title\na.png,A\n", [(2, "a.png", "a.png")]),
    "an id in capitals": ("m.csv", b"ID,image\n7,a.png\n", [(2, "7", "a.png")]),
    "exact names go first": ("m.csv", b"ID,id,image,Image\n7,a,a.png,b.png\n", [(2, "a", "a.png")]),
    "an empty id": ("m.csv", b"id,image\n ,a.png\nb,b.png\n", [(2, None, None), (3, "b", "b.png")]),
    "an empty image": ("m.csv", b"id,image\na, \nb,b.png\n", [(2, "a", None), (3, "b", "b.png")]),
    "one field more": ("m.csv", b"id,image\na,a.png,x\nb,b.png\n", [(2, None, None), (3, "b", "b.png")]),
    "empty fields more": ("m.csv", b"id,image\na,a.png,\nb,b.png, ,,\n", GOOD),
    "empty fields in the header": ("m.csv", b"id,image,,\na,a.png\nb,b.png,,\n", GOOD),
    "one field less": ("m.csv", b"id,image\na\nb,b.png\n", [(2, None, None), (3, "b", "b.png")]),
    "a stray quote": ("m.csv", b'id,image\na,"a".png\nb,b.png\n', [(2, None, None), (3, "b", "b.png")]),
    "an open quote": ("m.csv", b'id,image\na,"a.png\nb,b.png\n', [(2, None, None), (3, "b", "b.png")]),
    "a line break in quotes": (
        "m.csv",
        b'id,title,image\na,"x\ny",a.png\nb,,b.png\n',
        [(2, "a", "a.png"), (4, "b", "b.png")],
    ),
    "an inch": (
        "m.csv",
        b'id,image,title\na,a.png,"5 inch\nb,b.png,x\nc,c.png,6"\nd,d.png,y\n',
        [(2, None, None), (3, "b", "b.png"), (4, "c", "c.png"), (5, "d", "d.png")],
    ),
    "an inch before the image": (
        "m.csv",
        b'id,title,image\na,"5 inch,a.png\nb,x,b.png\nc,6",c.png\n',
        [(2, None, None), (3, "b", "b.png"), (4, "c", "c.png")],
    ),
    "NUL": ("m.csv", b"id,image\na,a\0.png\nb,b.png\n", [(2, None, None), (3, "b", "b.png")]),
    "Latin-1": (
        "m.csv",
        b"id,image\na,k\xe4se.png\nb,b.png\n",
        [(2, "a", "k\xe4se.png"), (3, "b", "b.png")],
    ),
    "one line of Latin-1": (
        "m.csv",
        b"id,image\na,k\xe4se.png\nb,b.png\nc,\xc3\xa4.png\n",
        [(2, None, None), (3, "b", "b.png"), (4, "c", "\xe4.png")],
    ),
    "a line that is too long": (
        "m.txt",
        b"x" * MAX_LINE_CHARS + b"y\nb.png\n",
        [(1, None, None), (2, "b.png", "b.png")],
    ),
    "a long field": ("m.csv", b"id,image,note\na,a.png," + b"x" * 900_000 + b"\nb,b.png,\n", GOOD),
    "ids that are numbers": (
        "m.jsonl",
        b"".join(
            b'{"id": %s, "image": "a.png"}\n' % number
            for number in (b"7", b"7.0", b"-1.50", b"true", b"1E3", b"123456789012345678901234567890")
        ),
        [
            (line, number, "a.png")
            for line, number in enumerate(["7", "7.0", "-1.50", "true", "1E3", "123456789012345678901234567890"], 1)
        ],
    ),
    "values that are no text": (
        "m.jsonl",
        b'{"id": "a", "image": ["a.png"]}\n{"id": ["b"], "image": "b.png"}\n{"id": null, "image": "c.png"}\n[]\n7\n{\n',
        [(1, "a", None), *((line, None, None) for line in range(2, 7))],
    ),
    "an escaped control character": ("m.jsonl", b'{"id": "a\\u0000", "image": "a.png"}\n', [(1, None, None)]),
    "keys that are missing": (
        "m.jsonl",
        b'{"image": "a.png"}\n{"id": "b"}\n',
        [(1, "a.png", "a.png"), (2, "b", None)],
    ),
    "images of every form": (
        "m.txt",
        b"HTTPS://x.example/a.png\ntoken: t\n/a.png\n../a.png\nb/../a.png\nC:\\a.png\nftp://x/a\nfile:a\nhttp://x y\n",
        [
            (1, "HTTPS://x.example/a.png", "HTTPS://x.example/a.png"),
            (2, "token: t", "token:t"),
            *(
                (line, name, None)
                for line, name in enumerate(
                    ["/a.png", "../a.png", "b/../a.png", "C:\\a.png", "ftp://x/a", "file:a", "http://x y"], 3
                )
            ),
        ],
    ),
}


@pytest.mark.parametrize(("name", "data", "rows"), TABLES.values(), ids=TABLES.keys())
def test_manifest_and_catalogue_read_the_same_rows(tmp_path: Path, name: str, data: bytes, rows: list[Read]) -> None:
    """Both take the same ids and images from a table, and find the same lines bad."""
    path = tmp_path / name
    path.write_bytes(data)
    assert read_manifest(path, {}) == (rows, "")
    assert read_catalogue(path, {}) == (rows, "")


UNREADABLE: dict[str, tuple[str, bytes, dict[str, str], str]] = {
    "a JSON array": ("m.jsonl", b'[{"image": "a.png"},\n{"image": "b.png"}]', {}, "is one JSON array"),
    "a table as a list": ("m.txt", b"image\ttitle\n", {}, "begins with the header of a table"),
    "an empty table": ("m.csv", b"", {}, "is empty"),
    "no image": ("m.csv", b"id,imgae\n", {}, "there is no column 'image', did you mean 'imgae'?"),
    "another delimiter": ("m.csv", b"id;content\na;a.png\n", {}, "there is no column 'image', only 'id', 'content'"),
    "a named column": ("m.csv", b"id,image\n", {"id": "sku"}, "there is no column 'sku'"),
    "a column twice": ("m.csv", b"id,image,image\n", {}, "the column 'image' is in the header twice"),
    "an id twice": ("m.csv", b"id,image,id\n", {}, "the column 'id' is in the header twice"),
    "objects without images": ("m.jsonl", b'{"file": "a.png"}\n', {}, "there is no column 'image'"),
    "a header with quotes astray": ("m.csv", b'"id"x,image\n', {}, "the header can't be read"),
    "no format": ("m.xls", b"", {}, "has no known format"),
    "no gzip": ("m.csv.gz", b"id,image\na,a.png\n", {}, "can't be read on after line 0"),
}


@pytest.mark.parametrize(("name", "data", "columns", "reason"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_manifest_and_catalogue_refuse_the_same_tables(
    tmp_path: Path, name: str, data: bytes, columns: dict[str, str], reason: str
) -> None:
    """A table that one can't read is refused by the other with the same sentence."""
    path = tmp_path / name
    path.write_bytes(data)
    assert reason in read_manifest(path, columns)[1]
    assert read_catalogue(path, columns) == read_manifest(path, columns)


@pytest.mark.parametrize("name", ["m.csv.gz", "m.jsonl.zst"])
def test_both_read_a_file_up_to_the_cut(tmp_path: Path, name: str) -> None:
    """Of a file that is cut off, both give the rows before the cut, and name the last line."""
    path = tmp_path / name
    lines = {"csv": b"image\n%s", "jsonl": b"%s"}[name.split(".")[1]]
    line = {"csv": b"%s.png\n", "jsonl": b'{"image": "%s.png"}\n'}[name.split(".")[1]]
    whole = lines % b"".join(line % os.urandom(20).hex().encode() for _ in range(8000))
    packed = gzip.compress(whole) if name.endswith("gz") else zstandard.compress(whole)
    path.write_bytes(packed[: len(packed) * 9 // 10])
    rows, reason = read_manifest(path, {})
    assert f"can't be read on after line {rows[-1][0]}" in reason
    assert read_catalogue(path, {}) == (rows, reason)


_CSV_PIECES = [b",", b",", b";", b"\t", b'"', b'""', b"\n", b"\r\n", b"\r", b" ", b"ID", b"image", b"\nd,d.png\n", b"#"]
_JSON_PIECES = [b"{", b"}", b'"id"', b'"image"', b": ", b"7", b"null", b'\n{"id": "c", "image": "c.png"}\n']
_VALUE_PIECES = [b"a", b"b.png", b"../a", b"/a", b"token:", b":", b"http://x/", b"\0", b"\xff", "ä".encode()]
_pieces = st.sampled_from([*_CSV_PIECES, *_JSON_PIECES, *_VALUE_PIECES])
_starts = st.sampled_from(
    [b"", b"id,image\n", b"Id; Image; Title\n", b"image\tid\n", b"\xef\xbb\xbfimage\n", b"\n", b"\xff\xfe", b"sep=;\n"]
)
_suffixes = st.sampled_from([".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".txt"])


@given(start=_starts, pieces=st.lists(_pieces, max_size=30), suffix=_suffixes)
@settings(max_examples=500)
def test_manifest_and_catalogue_read_any_table_alike(start: bytes, pieces: list[bytes], suffix: str) -> None:
    """Whatever a file holds: the same rows, the same bad lines, or the same refusal."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"m{suffix}")
        path.write_bytes(start + b"".join(pieces))
        assert read_catalogue(path, {}) == read_manifest(path, {})


@given(pieces=st.lists(st.sampled_from([b"a", b"b.png", b"|", b" ", b",", b",", b"\n", b'"', b"../"]), max_size=30))
@settings(max_examples=200)
def test_manifest_and_catalogue_read_an_export_of_a_shop_alike(pieces: list[bytes]) -> None:
    """Composed ids, several pictures in a cell and skipped lines are the same for both."""
    reading: dict[str, Any] = {"ids": ("id", "place"), "split": "|", "skip_without_image": True}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.csv")
        path.write_bytes(b"id,place,image\n" + b"".join(pieces))
        assert read_catalogue(path, {}, **reading) == read_manifest(path, {}, **reading)


def test_manifest_and_catalogue_list_the_same_pictures(tmp_path: Path) -> None:
    """Both take the same files of a folder in the same order, and find the same names bad."""
    png = b"\x89PNG\r\n\x1a\n" + bytes(16)
    for name in ("b/2.png", "b/a/1.dat", "a/2.png", "c.PNG", "token:x.png", " d.png", ".hidden.png", ".git/e.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(png)
    (tmp_path / "broken.jpg").write_text("no picture")
    (tmp_path / "list.csv").write_text("id,image\n")
    (tmp_path / "a\nb.png").write_bytes(png)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")).write_bytes(png)
    (tmp_path / "link.png").symlink_to("a/2.png")
    (tmp_path / "nowhere.png").symlink_to("nothing.png")
    (tmp_path / "circle.png").symlink_to("circle.png")
    (tmp_path / "out.png").symlink_to("/etc/hostname")
    (tmp_path / "folder").symlink_to("b")
    os.mkfifo(tmp_path / "pipe.png")
    rows, reason = read_manifest(tmp_path, {})
    names = [" d.png", None, "broken.jpg", "c.PNG", "circle.png", "link.png", "nowhere.png", "out.png", "token:x.png"]
    assert [name for _, name, _ in rows] == [*names, r"\xff.png", "a/2.png", "b/2.png", "b/a/1.dat"]
    assert [name for _, name, image in rows if image is None] == [None, "out.png"]
    as_text = [(line, name, None if name == r"\xff.png" else image) for line, name, image in rows]
    assert read_catalogue(tmp_path, {}) == (as_text, reason)  # its index keeps paths as text
