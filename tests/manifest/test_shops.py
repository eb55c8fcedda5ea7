"""Exports of shops are read as they are: composed ids, several pictures in a cell, lines without a picture."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import ManifestConfig
from pipeline.manifest import Segment, open_manifest
from pipeline.records import Failure, Row, Skipped, image_name
from pipeline.tabular.cells import Naming
from tests.manifest.test_opening import Known

Pair = tuple[str | None, str | None]


def pairs_of(path: Path, **config: object) -> tuple[list[Pair], int]:
    """Return the id and the image of each row (no image where it fails), and how many lines are skipped."""
    with open_manifest(ManifestConfig.model_validate({"path": str(path), **config})) as manifest:
        pairs = [(row.id, image_name(row.image) if isinstance(row, Row) else None) for row in manifest.rows()]
        return pairs, manifest.skipped


def test_a_shopify_export(tmp_path: Path) -> None:
    """Variants have no picture, further pictures have no title; each picture is a row with a stable id."""
    (tmp_path / "products.csv").write_text(
        "\ufeffHandle,Title,Body (HTML),Variant SKU,Image Src,Image Position\n"
        'mug,"Mug, ""plain""","<p>5"" wide</p>\n<ul><li>one</li></ul>",M-1,https://cdn.x.example/mug-1.jpg?v=1,1\n'
        "mug,,,,https://cdn.x.example/mug-2.jpg?v=1,2\n"
        "shirt,Shirt,,S-S,//cdn.x.example/shirt.jpg,1\n"
        "shirt,,,S-M,,\n"
        "shirt,,,S-L,,\n"
    )
    columns = {"id": ("Handle", "Image Position"), "image": "Image Src"}
    pairs, skipped = pairs_of(tmp_path / "products.csv", columns=columns, skip_without_image=True)
    assert pairs == [
        ("mug|1", "https://cdn.x.example/mug-1.jpg?v=1"),
        ("mug|2", "https://cdn.x.example/mug-2.jpg?v=1"),
        ("shirt|1", "https://cdn.x.example/shirt.jpg"),
    ]
    assert skipped == 2


def test_a_woocommerce_export(tmp_path: Path) -> None:
    """A cell holds all pictures of a product; a comma inside of a URL is no separator."""
    (tmp_path / "products.csv").write_text(
        'ID,Type,SKU,Name,Images\n7,simple,A,Mug,"https://x.example/w_1,h_1/a.jpg, https://x.example/b.jpg"\n'
        '8,variation,A-1,Mug blue,\n9,simple,B,Cup," https://x.example/c.jpg, , https://x.example/c.jpg"\n'
    )
    pairs, skipped = pairs_of(
        tmp_path / "products.csv", columns={"image": "Images"}, split=", ", skip_without_image=True
    )
    assert pairs == [
        ("7", "https://x.example/w_1,h_1/a.jpg"),
        ("7#2", "https://x.example/b.jpg"),
        ("9", "https://x.example/c.jpg"),
    ]
    assert skipped == 1


def test_pictures_without_an_id_are_their_own(tmp_path: Path) -> None:
    """Where there is no column of ids, each picture of a cell has its own."""
    (tmp_path / "m.csv").write_text("image\na.jpg|b.jpg\nc.jpg\n")
    assert pairs_of(tmp_path / "m.csv", split="|")[0] == [(name, name) for name in ("a.jpg", "b.jpg", "c.jpg")]


def test_json_lines_may_list_pictures(tmp_path: Path) -> None:
    """With a separator set, a list is several pictures; a list of anything else is a bad value."""
    rows = [{"id": 1, "image": ["a.jpg", "b.jpg"]}, {"id": 2, "image": [5]}, {"id": 3, "image": []}, {"id": 4}]
    (tmp_path / "m.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    pairs, skipped = pairs_of(tmp_path / "m.jsonl", split=",", skip_without_image=True)
    assert (pairs, skipped) == ([("1", "a.jpg"), ("1#2", "b.jpg"), ("2", None)], 2)


def test_a_bad_picture_costs_no_other_of_its_cell(tmp_path: Path) -> None:
    """The failure has the id that the picture would have had, and the line of the cell."""
    (tmp_path / "m.csv").write_text('id,image\n1,"a.jpg,../b.jpg,c.jpg"\n')
    with open_manifest(ManifestConfig(path=str(tmp_path / "m.csv"), split=",")) as manifest:
        first, bad, last = manifest.rows()
    assert isinstance(bad, Failure)
    assert (first.id, bad.id, bad.code, bad.line, last.id) == ("1", "1#2", "outside-root", 2, "1#3")
    assert [first.ordinal, bad.ordinal, last.ordinal] == [0, 1, 2]


def test_lines_without_a_picture_fail_unless_they_are_to_be_skipped(tmp_path: Path) -> None:
    """Nothing is skipped by itself."""
    (tmp_path / "m.csv").write_text("id,image\n1,a.jpg\n2, \n")
    assert pairs_of(tmp_path / "m.csv") == ([("1", "a.jpg"), ("2", None)], 0)
    assert pairs_of(tmp_path / "m.csv", skip_without_image=True) == ([("1", "a.jpg")], 1)


_part = st.text(st.sampled_from("ab|\\#/ "), max_size=4)
_parts = st.tuples(_part, _part, _part).map(lambda parts: tuple(map(str.strip, parts))).filter(any)


@given(st.lists(_parts, min_size=2, max_size=2, unique=True))
@settings(max_examples=500)
def test_different_values_make_different_ids(values: Sequence[tuple[str, str, str]]) -> None:
    """A composed id tells lines apart that differ in any of its columns, whatever these hold."""
    naming = Naming(ids=("x", "y", "z"), image="image")
    first, second = ({"x": x, "y": y, "z": z, "image": "a.jpg"} for x, y, z in values)
    assert naming.read_id(first) != naming.read_id(second)


_cells = st.lists(st.lists(st.sampled_from(["a.png", "b.png", "c/d.png"]), max_size=3, unique=True), max_size=8)


@given(cells=_cells, batch=st.integers(1, 4), stop=st.integers(0, 3))
def test_lines_of_several_pictures_or_none_keep_together(cells: list[list[str]], batch: int, stop: int) -> None:
    """However lines are cut into segments, each is in one, and its known segments have the same items as new ones."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.manifest.segments.BATCH_ROWS", batch)
        path = Path(folder, "m.csv")
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([["id", "image"], *([n, ",".join(cell)] for n, cell in enumerate(cells))])
        config = ManifestConfig(path=str(path), split=",", skip_without_image=True)
        with open_manifest(config) as manifest:
            new = _segments_of(manifest.segments, ())
        known = [Known(segment.line, segment.lines, len(segment.items()), segment.digest) for segment in new[:stop]]
        with open_manifest(config) as manifest:
            again = _segments_of(manifest.segments, known)
    items = [item for segment in new for item in segment.items()]
    assert [item for segment in again for item in segment.items()] == items
    assert sum(segment.known is not None for segment in again) == len(known)
    assert [item.ordinal for item in items] == list(range(len(items)))
    skipped = [item.line - 2 for item in items if isinstance(item, Skipped)]
    assert skipped == [number for number, cell in enumerate(cells) if not cell]
    names = [(item.line - 2, image_name(item.image)) for item in items if isinstance(item, Row)]
    assert names == [(number, name) for number, cell in enumerate(cells) for name in cell]


def _segments_of(read: object, known: Sequence[Known]) -> list[Segment[Known]]:
    found: list[Segment[Known]] = []
    while more := read(known):  # type: ignore[operator] # a bound generic method
        found += more
        last = found[-1]
        known = [segment for segment in known if segment.line >= last.line + last.lines]
    return found
