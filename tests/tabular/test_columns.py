"""Columns are matched by name, in any case, and one that looks like a known column is pointed out."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import ManifestConfig
from pipeline.manifest import open_manifest
from pipeline.records import Row
from pipeline.tabular.columns import find_aliases


@pytest.mark.parametrize(
    ("header", "aliases"),
    [
        (["id", "image"], {}),
        (["ID", " Image "], {"id": "ID", "image": " Image "}),
        (["ID", "id", "IMAGE"], {"image": "IMAGE"}),
        (["ID", "Id", "image"], {}),
        (["identifier"], {}),
    ],
)
def test_case_and_blanks_make_no_difference(header: list[str], aliases: dict[str, str]) -> None:
    """An exact name goes first, and what fits twice fits nothing."""
    assert find_aliases(header, ["id", "image"]) == aliases


def test_one_column_may_be_read_under_two_names(tmp_path: Path) -> None:
    """The config may name a column once as it is and once in another case; a carried one gets the config's name."""
    (tmp_path / "m.csv").write_text("sku,IMAGE,Title\n1,a.png,Mug\n")
    config = ManifestConfig.model_validate(
        {"path": str(tmp_path / "m.csv"), "columns": {"id": "SKU"}, "carry": ("sku", "title")}
    )
    with open_manifest(config) as manifest:
        (row,) = manifest.rows()
    assert isinstance(row, Row)
    assert (row.id, row.carry) == ("1", {"sku": "1", "title": "Mug"})


@pytest.mark.parametrize(
    ("header", "key", "column"),
    [
        ("SKU,image", "id", "SKU"),
        ("Product ID,image,Title", "id", "Product ID"),
        ("Handle,image", "id", "Handle"),
        ("idd,image", "id", "idd"),
        ("image_id,image", "id", "image_id"),
        ("id,image,Keywords", "query", "Keywords"),
        ("id,image,markets", "market", "markets"),
        ("id,image,crops", "crop", "crops"),
        ("id,image,sku,Image URL,title", None, None),
        ("ID,IMAGE,Crop", None, None),
        ("image", None, None),
    ],
)
def test_a_column_that_looks_like_a_known_one_is_pointed_out(
    tmp_path: Path, header: str, key: str | None, column: str | None
) -> None:
    """The hint names the column and the setting; where the column is there, nothing else is meant."""
    (tmp_path / "m.csv").write_text(f"{header}\n")
    with open_manifest(ManifestConfig(path=str(tmp_path / "m.csv"))) as manifest:
        notes = list(manifest.notes)
    expected = f"the column {column!r} is not read; if you want it to be, set manifest.columns.{key}"
    assert notes == ([expected] if key else [])


def test_the_keys_of_objects_are_looked_at_too(tmp_path: Path) -> None:
    """JSON lines have no header; their keys are one."""
    (tmp_path / "m.jsonl").write_text('{"image": "a.png"}\n{"sku": "1", "image": "b.png"}\n')
    with open_manifest(ManifestConfig(path=str(tmp_path / "m.jsonl"))) as manifest:
        (note,) = manifest.notes
    assert "'sku'" in note
