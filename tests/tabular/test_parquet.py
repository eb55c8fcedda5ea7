"""A Parquet file is a table like any other, read in flat memory; without its package there is one clear sentence."""

from __future__ import annotations

import datetime as dt
import math
import sys
import tempfile
import tracemalloc
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import ManifestConfig
from pipeline.errors import ConfigError, TableError
from pipeline.manifest import Segment, open_manifest
from pipeline.records import Failure, Row, image_name
from pipeline.service.engine.catalogue import read_entries
from pipeline.service.findings import CatalogueConfig
from pipeline.tabular.columns import WantedColumns
from pipeline.tabular.formats import TableFile
from pipeline.tabular.parquet import ParquetRows
from tests.manifest.test_opening import Known

arrow = pytest.importorskip("pyarrow", reason='the extra "parquet" is not installed')
parquet = pytest.importorskip("pyarrow.parquet", reason='the extra "parquet" is not installed')


def write(path: Path, columns: dict[str, Any], **options: object) -> Path:
    """Write a table of columns."""
    parquet.write_table(arrow.table(columns), path, **options)
    return path


def rows_of(path: Path, **config: object) -> list[Row | Failure]:
    with open_manifest(ManifestConfig.model_validate({"path": str(path), **config})) as manifest:
        return list(manifest.rows())


_word = st.from_regex(r"[a-z\u00e4\u00df]{1,8}", fullmatch=True)
_rows = st.lists(st.tuples(_word, _word, st.text(max_size=8)), min_size=1, max_size=30, unique_by=lambda row: row[0])


@given(rows=_rows, group=st.integers(1, 40), compression=st.sampled_from(["snappy", "zstd", "none"]))
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_read(rows: list[tuple[str, str, str]], group: int, compression: str) -> None:
    """Ids, images and carried columns are what was written, numbered by row, however the file is made inside."""
    ids, images, titles = (list(column) for column in zip(*rows, strict=True))
    with tempfile.TemporaryDirectory() as folder:
        columns = {"title": titles, "ID": ids, "unused": list(range(len(ids))), "image": images}
        path = write(Path(folder, "m.parquet"), columns, row_group_size=group, compression=compression)
        read = rows_of(path, carry=("title",))
    assert [(row.id, image_name(row.image), row.carry["title"]) for row in read if isinstance(row, Row)] == rows
    assert [(row.line, row.ordinal) for row in read] == [(number + 1, number) for number in range(len(rows))]


def test_values_of_every_type_become_what_json_has(tmp_path: Path) -> None:
    """Numbers may be ids; decimals, times and bytes are text, and what is nothing is nothing."""
    values = {
        "id": [7, 2**62],
        "image": ["a.png", "b.png"],
        "price": [Decimal("1.50"), None],
        "day": [dt.date(2026, 1, 2), None],
        "at": arrow.array([1, None], arrow.timestamp("ns")),
        "score": [0.5, math.nan],
        "raw": [b"x\xff", None],
        "tags": [["a", "b"], []],
        "kind": arrow.array(["mug", "cup"]).dictionary_encode(),
    }
    carried = tuple(name for name in values if name not in {"id", "image"})
    first, second = rows_of(write(tmp_path / "m.parquet", values), carry=carried)
    assert isinstance(first, Row)
    assert isinstance(second, Row)
    assert (first.id, second.id) == ("7", str(2**62))
    assert {name: value for name, value in first.carry.items() if name != "at"} == {
        "price": "1.50", "day": "2026-01-02", "score": 0.5, "raw": "x\\xff", "tags": ["a", "b"], "kind": "mug"
    }  # fmt: skip
    assert str(first.carry["at"]).startswith("1970-01-01 00:00:00")
    assert [second.carry[name] for name in carried] == [None, None, None, None, None, [], "cup"]


def test_ids_that_are_floats_keep_their_text(tmp_path: Path) -> None:
    """A column of whole numbers with gaps is one of floats, and says so."""
    rows = rows_of(write(tmp_path / "m.parquet", {"id": [7.0, None], "image": ["a.png", "b.png"]}))
    assert [(row.id, getattr(row, "code", "")) for row in rows] == [("7.0", ""), (None, "empty-id")]


def test_the_catalogue_of_the_service_may_be_one(tmp_path: Path) -> None:
    """It is read by the same reader."""
    path = write(
        tmp_path / "c.parquet", {"id": [1], "image": ["a.png"], "price": [Decimal("9.50")], "tags": [["x", "y"]]}
    )
    (entry,) = read_entries(CatalogueConfig(path=path))
    assert dict(entry.fields) == {"id": "1", "image": "a.png", "price": "9.50", "tags": "x|y"}


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"id": [1], "Image URL": ["a"]}, "there is no column 'image', did you mean 'Image URL'?"),
        ({"image": [{"bytes": b"x", "path": "a.png"}]}, "the column 'image' holds struct<"),
        ({"image": ["a"], "IMAGE": ["b"], "id": [1]}, None),
    ],
)
def test_columns_are_checked_as_in_any_table(tmp_path: Path, columns: dict[str, Any], says: str | None) -> None:
    """What is missing is named before any row is read."""
    path = write(tmp_path / "m.parquet", columns)
    if says is None:
        assert [row.id for row in rows_of(path)] == ["1"]
        return
    with pytest.raises(TableError) as raised:
        rows_of(path)
    assert says in str(raised.value)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    """Its name alone makes no Parquet file; keys of text don't belong to one."""
    (tmp_path / "m.parquet").write_bytes(b"id,image\n")
    with pytest.raises(TableError, match=r"m\.parquet can't be read: "):
        rows_of(tmp_path / "m.parquet")
    path = write(tmp_path / "n.parquet", {"image": ["a.png"]})
    with pytest.raises(ConfigError, match=r"manifest\.encoding: a manifest of the format parquet has none"):
        rows_of(path, encoding="utf-16")
    with pytest.raises(TableError, match="stdin is not a Parquet file"):
        open_manifest(ManifestConfig(path="-", format="parquet"))


def test_a_damaged_file_gives_the_rows_before_the_damage(tmp_path: Path) -> None:
    """The message says after how many rows it can't be read on."""
    images = [f"{number:050}.png" for number in range(4000)]
    path = write(tmp_path / "m.parquet", {"image": images}, row_group_size=1000, compression="zstd")
    place = parquet.ParquetFile(path).metadata.row_group(3).column(0).data_page_offset + 60
    data = bytearray(path.read_bytes())
    data[place : place + 40] = bytes(40)
    path.write_bytes(data)
    ids: list[str | None] = []
    with open_manifest(ManifestConfig(path=str(path))) as manifest, pytest.raises(TableError) as raised:
        ids.extend(row.id for row in manifest.rows())
    assert ids == images[:3000]
    assert "can't be read on after 3000 rows" in str(raised.value)


def test_a_text_that_is_no_utf8_costs_its_own_row(tmp_path: Path) -> None:
    """The rows around it are read: some writers don't check what they store."""
    texts = arrow.array([b"a.png", b"b\xee.png", b"c.png"], arrow.binary())
    path = write(tmp_path / "m.parquet", {"image": texts.cast(arrow.string(), safe=False), "n": [1, 2, 3]})
    first, second, third = rows_of(path)
    assert isinstance(second, Failure)
    assert (first.id, second.code, second.line, third.id) == ("a.png", "bad-encoding", 2, "c.png")


def test_a_column_whose_name_is_no_utf8_is_one_sentence(tmp_path: Path) -> None:
    """The file is refused, as one that can't be read."""
    path = write(tmp_path / "m.parquet", {"image": ["a.png"], "zzzz": ["b"]})
    path.write_bytes(path.read_bytes().replace(b"zzzz", b"z\xe7zz"))
    with pytest.raises(TableError, match=r"m\.parquet can't be read: .*utf-8"):
        rows_of(path)


def test_known_rows_are_counted_unparsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows with the same values are known, as lines of text are."""
    monkeypatch.setattr("pipeline.manifest.segments.BATCH_ROWS", 2)
    path = write(tmp_path / "m.parquet", {"image": ["a.png", "b.png", "c.png"]})
    with open_manifest(ManifestConfig(path=str(path))) as manifest:
        first: Segment[Known] = manifest.segments()[0]
    known = Known(first.line, first.lines, len(first.items()), first.digest)
    with open_manifest(ManifestConfig(path=str(path))) as manifest:
        (same,) = manifest.segments([known])
        assert same.known is known
        assert same.items() == first.items()


def test_memory_stays_flat(tmp_path: Path) -> None:
    """Six times the rows in one row group take no more memory, of ours or of Arrow's."""
    peaks, pools = [], []
    for rows in (50_000, 300_000):
        path = write(tmp_path / f"{rows}.parquet", {"image": [f"https://x.example/{n}.jpg" for n in range(rows)]})
        file = TableFile(path=str(path), section="manifest")
        before = arrow.total_allocated_bytes()
        tracemalloc.start()
        opened = ParquetRows(file, WantedColumns(image="image", settings="manifest.columns"))
        pools.append(max(arrow.total_allocated_bytes() - before for _ in opened.lines()))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        opened.close()
    assert peaks[1] < peaks[0] * 1.2
    assert pools[1] < pools[0] * 1.5


def test_without_the_package_one_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it is imported until a Parquet file is opened."""
    path = write(tmp_path / "m.parquet", {"image": ["a.png"]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(TableError, match='without the package pyarrow; install the extra "parquet"'):
        rows_of(path)
