"""A manifest is opened once its form is sure, and read lazily, in a thread, from files and from stdin."""

from __future__ import annotations

import gzip
import os
import threading
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import anyio
import pytest

from pipeline.config import Columns, ManifestConfig
from pipeline.errors import ExitCode, TableError, UsageError
from pipeline.manifest import Manifest, Segment, open_manifest
from pipeline.manifest.rows import RowRules, table_rows
from pipeline.records import Failure, LocalFile, Row
from pipeline.tabular.cells import Naming
from pipeline.tabular.line_reader import LineReader
from pipeline.tabular.parsing import TextParser
from pipeline.tabular.root import Root
from tests.waiting import HANG_SECONDS


@dataclass(frozen=True)
class Known:
    """A segment that an earlier run knows."""

    line: int
    lines: int
    rows: int
    digest: bytes


NONE: tuple[Known, ...] = ()


def _config(path: Path | str, **more: object) -> ManifestConfig:
    return ManifestConfig.model_validate({"path": str(path), **more})


UNREADABLE: dict[str, tuple[str, bytes, dict[str, object], str]] = {
    "empty table": ("m.csv", b"", {}, "is empty"),
    "no image column": ("m.csv", b"id,imgae\n", {}, "did you mean 'imgae'"),
    "nothing like it": ("m.csv", b"sku;content\n", {}, "only 'sku', 'content'"),
    "no delimiter that is known": ("m.csv", b"id%image\n", {}, "set manifest.delimiter"),
    "another delimiter than set": ("m.csv", b"id,image\n", {"delimiter": ";"}, "only 'id,image'"),
    "no such id column": ("m.csv", b"id,image\n", {"columns": {"id": "sku"}}, "no column 'sku'"),
    "no such carried column": ("m.csv", b"id,image,title\n", {"carry": ["titel"]}, "did you mean 'title'"),
    "a column that stands twice": ("m.csv", b"id,image,id\n", {}, "'id' is in the header twice"),
    "broken header": ("m.csv", b'"id"x,image\n', {}, "the header can't be read"),
    "a header in Cyrillic": ("m.csv", "id,image,цвет\n".encode("cp1251"), {}, "the setting `encoding`"),
    "another encoding than set": ("m.csv", "id,image\n".encode("utf-16"), {"encoding": "utf-8"}, "is UTF-16; set"),
    "UTF-16 without a mark": ("m.csv", "id,image\n".encode("utf-16-le"), {"encoding": "utf-16"}, '"utf-16-le"'),
    "plain text as UTF-32": ("m.jsonl", b'{"image": "a.jpg"}\n', {"encoding": "utf-32"}, "is not in the encoding"),
    "an encoding of names": ("m.txt", b"a.jpg\xff\n", {"encoding": "idna"}, "is not in the encoding"),
    "a JSON array": ("m.jsonl", b'[{"image": "a.jpg"},\n{"image": "b.jpg"}]\n', {}, "is one JSON array"),
    "a JSON array in one line": ("m.jsonl", b'[{"image": "a.jpg"}]', {}, "jq -c '.[]'"),
    "a JSON array below each other": ("m.jsonl", b'[\n  {\n    "image": "a.jpg"\n  }\n]\n', {}, "is one JSON array"),
    "objects over several lines": (
        "m.jsonl",
        b'{\n "image": "a.jpg"\n}\n{\n "image": "b"\n}\n',
        {},
        "over several lines",
    ),
    "a JSON document": ("m.json", b"[]", {}, "JSON array in a line of its own"),
    "a spreadsheet": ("m.xlsx", b"PK", {}, 'as "CSV UTF-8"'),
    "a picture": ("m.JPG", b"", {}, "give the folder that holds the picture"),
    "a table as a list": ("m.txt", b"id,image\na,a.png\n", {}, 'manifest.format = "csv"'),
    "a table of Excel as a list": ("m.txt", "Id\tImage\n".encode("utf-16"), {}, 'manifest.format = "tsv"'),
    "two that may be meant": ("m.csv", b"id,Image,IMAGE\n", {}, "did you mean 'Image'"),
    "a shop's export": ("m.csv", b"Handle,Title,Image Src,Image Position\n", {}, "did you mean 'Image Src'"),
    "objects without the image": ("m.jsonl", b'{"file": "a.jpg"}\n', {}, "no column 'image'"),
    "carry from text": (
        "m.txt",
        b"a.jpg\n",
        {"carry": ["title"]},
        "manifest.carry: a manifest of the format txt has none",
    ),
    "keys of tables": (
        "m.txt",
        b"a.jpg\n",
        {"delimiter": ",", "split": ",", "skip_without_image": True, "columns": {"id": "x"}},
        "manifest.delimiter, manifest.columns, manifest.split, manifest.skip_without_image: a manifest of the format",
    ),
    "parquet in another compression": ("m.parquet.gz", b"PAR1", {}, "no known format"),
    "no suffix": ("manifest", b"a.jpg\n", {}, "no known format"),
    "a file as a folder": ("m.csv", b"id,image\n", {"format": "folder"}, "is no folder"),
    "no such root": ("m.csv", b"id,image\n", {"root": "no/such/root"}, "manifest.root: no/such/root is no folder"),
}


@pytest.mark.parametrize(("name", "data", "more", "message"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_manifest_that_cannot_be_read_is_refused_before_any_row(
    tmp_path: Path, name: str, data: bytes, more: dict[str, object], message: str
) -> None:
    """Opening says what is wrong with the whole manifest, in one sentence, with exit code 2."""
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError) as raised:
        open_manifest(_config(tmp_path / name, **more))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == ExitCode.USAGE


def test_a_manifest_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A path with a typing mistake is named."""
    with pytest.raises(TableError, match="doesn't exist"):
        open_manifest(_config(tmp_path / "nowhere" / "m.csv"))


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    """A format that doesn't fit what lies at the path is refused with the system's own reason."""
    with pytest.raises(TableError, match="Is a directory"):
        open_manifest(_config(tmp_path, format="csv"))


def test_every_missing_column_is_named_at_once(tmp_path: Path) -> None:
    """One look at the message is enough to correct the config."""
    (tmp_path / "m.csv").write_text("sku,file\n")
    with pytest.raises(TableError) as raised:
        open_manifest(_config(tmp_path / "m.csv", columns={"query": "words"}, carry=["title"]))
    assert all(f"'{name}'" in str(raised.value) for name in ("image", "words", "title"))


def test_the_format_may_be_given(tmp_path: Path) -> None:
    """manifest.format decides over the suffix."""
    (tmp_path / "export.dat").write_text("id\timage\n1\ta.jpg\n")
    with open_manifest(_config(tmp_path / "export.dat", format="tsv")) as manifest:
        assert [row.id for row in manifest.rows()] == ["1"]


def test_pictures_lie_beside_the_manifest_or_below_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths resolve in the manifest's own folder, or in manifest.root, which is relative to the working directory."""
    (tmp_path / "lists").mkdir()
    (tmp_path / "pictures").mkdir()
    (tmp_path / "lists" / "m.txt").write_text("a.jpg\n")
    monkeypatch.chdir(tmp_path)
    for root, folder in ((None, "lists"), ("pictures", "pictures")):
        with open_manifest(_config("lists/m.txt", root=root)) as manifest:
            (row,) = manifest.rows()
        assert isinstance(row, Row)
        assert isinstance(row.image, LocalFile)
        assert row.image.path == str(tmp_path.resolve() / folder / "a.jpg")


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Make a pipe: what is written to the second end is read from the first."""
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


def test_stdin_is_read_as_it_comes(pipe: tuple[int, int]) -> None:
    """A row from stdin is there as soon as its line is; nothing waits for the end."""
    source, sink = pipe
    with open_manifest(_config("-"), stdin=source) as manifest:
        rows = manifest.rows()
        os.write(sink, b"https://example.org/a.jpg\n")
        assert next(rows).id == "https://example.org/a.jpg"
        os.write(sink, b"token:x\n")
        assert next(rows).id == "token:x"
        os.close(sink)
        assert list(rows) == []


def test_stdin_has_the_format_it_is_given(pipe: tuple[int, int]) -> None:
    """A table may come through stdin too."""
    source, sink = pipe
    os.write(sink, b"id,image\n1,a.jpg\n")
    os.close(sink)
    with open_manifest(_config("-", format="csv"), stdin=source) as manifest:
        assert [row.id for row in manifest.rows()] == ["1"]


def test_stdin_is_no_folder() -> None:
    """A format that stdin can't have is refused."""
    with pytest.raises(TableError, match="stdin is not a folder"):
        open_manifest(_config("-", format="folder"))


async def test_a_wait_for_stdin_can_be_given_up(pipe: tuple[int, int]) -> None:
    """A run that stops isn't held by a producer that says nothing: the wait is left, and its thread ends."""
    opened, ended = open_manifest(_config("-"), stdin=pipe[0]), threading.Event()

    def read() -> None:
        anyio.from_thread.run_sync(scope.cancel)
        opened.segments()
        ended.set()

    with anyio.CancelScope() as scope:
        await anyio.to_thread.run_sync(read, abandon_on_cancel=True)
    assert scope.cancelled_caught
    assert not ended.is_set()
    opened.close()
    assert await anyio.to_thread.run_sync(ended.wait, HANG_SECONDS)


def test_a_segment_reads_nothing_ahead() -> None:
    """Lines are read only when a segment is asked for, a batch of rows at a time, and in order."""
    taken: list[int] = []

    def lines() -> Iterator[str]:
        for number in range(1_001):
            taken.append(number)
            yield f"token:{number}\n"

    sizes = []
    naming = Naming(ids=("id",), image="image")
    rules = RowRules(columns=Columns(), root=Root(Path(), "manifest"), naming=naming)
    parse = TextParser(column="image")
    manifest = Manifest(LineReader(lines()), partial(table_rows, parse=parse, rules=rules))
    segments: list[Segment[Known]]
    while segments := manifest.segments():
        sizes += [len(segment.items()) for segment in segments]
        assert len(taken) == sum(sizes)
    assert sizes == [500, 500, 1]


def _known(segment: Segment[Known]) -> Known:
    return Known(segment.line, segment.lines, len(segment.items()), segment.digest)


@pytest.mark.parametrize("name", ["m.csv", "m.jsonl", "m.txt", "folder"])
def test_known_lines_are_counted_unparsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Lines with the same text under the same config are known; their rows, and those below, are what they were."""
    monkeypatch.setattr("pipeline.manifest.segments.BATCH_ROWS", 2)
    _write_four_rows(tmp_path / name)
    with open_manifest(_config(tmp_path / name)) as manifest:
        first, second = [segment for _ in range(2) for segment in manifest.segments(NONE)]
        rows = [*first.items(), *second.items()]
    with open_manifest(_config(tmp_path / name)) as manifest:
        known = [_known(first)]
        (same,) = manifest.segments(known)
        assert same.known is known[0]
        (below,) = manifest.segments(known)
        assert below.known is None
        assert [*same.items(), *below.items()] == rows
    with open_manifest(_config(tmp_path / name)) as manifest:
        assert manifest.segments(known, b"other settings")[0].known is None
    with open_manifest(_config(tmp_path / name, root=str(tmp_path.parent))) as manifest:
        assert manifest.segments(known)[0].known is None


def _write_four_rows(path: Path) -> None:
    names = [f"{number}.png" for number in range(4)]
    match path.suffix:
        case ".csv":
            path.write_text("\n".join(["id,image,note", *(f'{name},{name},"a\nb"\n' for name in names)]))
        case ".jsonl":
            path.write_text("\n\n".join(f'{{"image": "{name}"}}' for name in names))
        case ".txt":
            path.write_text("\r\n".join(names))
        case _:
            path.mkdir()
            for name in names:
                (path / name).touch()


def test_a_segment_with_an_open_quote_is_not_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows may change with lines further down, so it says that it isn't closed."""
    monkeypatch.setattr("pipeline.manifest.segments.BATCH_ROWS", 1)
    (tmp_path / "m.csv").write_text('id,image\n1,a.png\n2,"b.png\n3,c.png\n')
    with open_manifest(_config(tmp_path / "m.csv")) as manifest:
        closed = [segment.is_closed for _ in range(3) for segment in manifest.segments(NONE)]
    assert closed == [True, False, True]


def test_an_error_on_the_way_ends_the_segments(tmp_path: Path) -> None:
    """A manifest that breaks in the middle raises where its rows are asked for."""
    whole = gzip.compress(b"".join(b"%s.jpg\n" % os.urandom(20).hex().encode() for _ in range(20)))
    (tmp_path / "m.txt.gz").write_bytes(whole[: len(whole) // 2])
    with open_manifest(_config(tmp_path / "m.txt.gz")) as manifest, pytest.raises(TableError):
        manifest.segments()


def _peak_bytes(path: Path) -> int:
    with open_manifest(_config(path, carry=["title"])) as manifest:
        tracemalloc.start()
        try:
            count = sum(1 for _ in manifest.rows())
            return tracemalloc.get_traced_memory()[1] if count else 0
        finally:
            tracemalloc.stop()


def test_memory_stays_flat(tmp_path: Path) -> None:
    """Ten times the lines take no more memory."""
    peaks = []
    for lines in (500, 4_000):
        path = tmp_path / f"{lines}.csv"
        body = "".join(f"sku-{n},img/{n % 7}/{n}.jpg,Title {n}\n" for n in range(lines))
        path.write_text("id,image,title\n" + body)
        peaks.append(_peak_bytes(path))
    assert peaks[1] < peaks[0] * 1.2


def test_rows_are_read_lazily(tmp_path: Path) -> None:
    """The first rows are there although a later part of the file can't be read."""
    path = tmp_path / "m.csv"
    path.write_bytes(b"id,image\n" + b"".join(b"%d,a.jpg\n" % n for n in range(10)) + b"\xff\xfe\n")
    with open_manifest(_config(path)) as manifest:
        first = list(islice(manifest.rows(), 3))
        rest = list(manifest.rows())
    assert [row.id for row in first] == ["0", "1", "2"]
    assert len(rest) == 8
    assert isinstance(rest[-1], Failure)
