"""Lines that are no rows cost next to nothing, however many a small compressed file holds, and change no row's line."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import ManifestConfig
from pipeline.errors import TableError
from pipeline.manifest import Segment, open_manifest
from pipeline.records import Row
from pipeline.tabular import line_reader
from pipeline.tabular.decoding import HEAD_BYTES, ReplayedStream, physical_lines
from pipeline.tabular.line_reader import MOST_LINES_OF_A_ROW, LineReader, count_lines
from tests.manifest.test_opening import Known

MANY = 64_000_000


def packed(*parts: tuple[bytes, int]) -> bytes:
    """Compress texts that are repeated."""
    compress = zlib.compressobj(9, wbits=31)
    pieces = []
    for text, count in parts:
        block = text * min(count, 1_000_000)
        pieces += [compress.compress(block) for _ in range(count // 1_000_000 or 1)]
    return b"".join([*pieces, compress.flush()])


def places(path: Path) -> list[tuple[int, str | None]]:
    with open_manifest(ManifestConfig(path=str(path))) as manifest:
        return [(row.line, row.id) for row in manifest.rows()]


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("m.csv.gz", b"id,image\n", b"a,a.png\n"),
        ("m.jsonl.gz", b"\n", b'{"id": "a", "image": "a.png"}\n'),
        ("m.txt.gz", b"a.png\n", b"a.png\n"),
    ],
)
def test_hundreds_of_millions_of_empty_lines_are_read_in_seconds(
    tmp_path: Path, name: str, first: bytes, last: bytes
) -> None:
    """One by one they would be more than lines without a row may be."""
    (tmp_path / name).write_bytes(packed((first, 1), (b"\n", MANY), (last, 1)))
    assert (tmp_path / name).stat().st_size < 100_000
    assert places(tmp_path / name)[-1] == (MANY + 2, "a.png" if "txt" in name else "a")


def test_a_table_of_empty_lines_is_empty(tmp_path: Path) -> None:
    """It ends with one sentence."""
    (tmp_path / "m.csv.gz").write_bytes(packed((b"\n", MANY)))
    with pytest.raises(TableError, match="is empty; its first line must name the columns"):
        places(tmp_path / "m.csv.gz")


@pytest.mark.parametrize(
    ("name", "first", "line"),
    [
        ("m.csv.gz", b"id,image\n", b",\n"),
        ("m.csv.gz", b"id,image\n", b"\r\n"),
        ("m.jsonl.gz", b"\n", b" \n"),
        ("m.txt.gz", b"\n", b"#\n"),
    ],
    ids=["bare commas", "line ends of Windows", "blanks", "comments"],
)
def test_other_lines_without_a_row_are_bounded(
    tmp_path: Path, name: str, first: bytes, line: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spreadsheet may have a million of them; several millions are no table."""
    assert MOST_LINES_OF_A_ROW > 1 << 20
    monkeypatch.setattr(line_reader, "MOST_LINES_OF_A_ROW", 20_000)
    path = tmp_path / name
    row = {"m.csv.gz": b"a,a.png\n", "m.jsonl.gz": b'{"image": "a.png"}\n', "m.txt.gz": b"a.png\n"}[name]
    path.write_bytes(packed((first, 1), (line * 10_000, 1), (row, 1), (line * 15_000, 1), (row, 1)))
    assert [number for number, _ in places(path)] == [10_002, 25_003]
    path.write_bytes(packed((first, 1), (row, 1), (line * 30_000, 1), (row, 1)))
    with pytest.raises(TableError, match="there is no row in 20,000 lines up to line 20,00"):
        places(path)


RUNS = st.sampled_from([0, 1, 2, 3, 4095, 4096, 4097, HEAD_BYTES - 9, HEAD_BYTES, HEAD_BYTES + 1])


def segments(path: Path, known: Sequence[Known]) -> Iterator[Segment[Known]]:
    with open_manifest(ManifestConfig(path=str(path))) as manifest:
        while batch := manifest.segments(known):
            yield from batch


@given(runs=st.lists(RUNS, min_size=1, max_size=4), end=st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=20)
def test_every_row_has_its_line(tmp_path_factory: pytest.TempPathFactory, runs: list[int], end: str) -> None:
    """With any runs of empty lines between the rows, in cells too; the next night knows the segments again."""
    text, lines, line = f"id,image{end}", [], 2
    for number, longest in enumerate(runs):
        run = longest if end == "\n" else longest % 1000
        text += end * run + f'{number},"{end * (run // 99)}{number}.png"{end}'
        lines.append(line + run)
        line += run + 1 + run // 99
    path = tmp_path_factory.mktemp("table") / "m.csv.gz"
    path.write_bytes(gzip.compress(text.encode(), 1))
    assert places(path) == [(line, str(number)) for number, line in enumerate(lines)]
    first = list(segments(path, []))
    known = [Known(line=each.line, lines=each.lines, rows=len(each.items()), digest=each.digest) for each in first]
    again = list(segments(path, known))
    assert [each.known for each in again] == known
    items = [item for each in again for item in each.items()]
    assert [(item.line, item.id) for item in items if isinstance(item, Row)] == places(path)


def test_few_texts_are_held_for_many_lines() -> None:
    """A run is one text, most of it the same one."""
    data = b"a\n" + b"\n" * 10_000_000 + b"b"
    lines = list(physical_lines(ReplayedStream(io.BytesIO(data), 0), "utf-8", "m"))
    assert len(lines) < 5 * HEAD_BYTES
    assert sum(map(count_lines, lines)) == 10_000_002
    assert len(set(map(id, lines))) < 10


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le"])
def test_bytes_of_other_encodings_are_no_empty_lines(encoding: str) -> None:
    """The byte of a line end may be half of a character there."""
    character = b"\n\n".ljust(4, b"\0").decode("utf-32-le") if "32" in encoding else "\u0a0a"
    text = "x\n" + character * 200_000 + "\ny"
    lines = physical_lines(ReplayedStream(io.BytesIO(text.encode(encoding)), 0), encoding, "m")
    assert "".join(lines) == text


def test_a_rewound_reader_counts_the_lines_of_a_run() -> None:
    """What was taken can be put back from any line on."""
    texts = ["a\n", "\n" * 5000, "b\n", "c\n"]
    reader = LineReader(texts)
    taken = [next(reader) for _ in texts]
    assert (taken, reader.line) == (texts, 5004)
    assert reader.taken_from(5002) == texts[2:]
    reader.rewind(2)
    assert (reader.line, reader.read(5001), reader.line) == (2, texts[1:3], 5003)
