"""The format of a table is found from its path, or given by the settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.errors import TableError
from pipeline.tabular.formats import FORMATS, FormatName, TableFile, find_format

NAMES: dict[str, FormatName] = {
    "m.csv": "csv",
    "m.CSV.Gz": "csv",
    "m.tsv": "tsv",
    "m.TAB.zst": "tsv",
    "m.jsonl": "jsonl",
    "m.ndjson.ZST": "jsonl",
    "m.v2.txt": "txt",
}


@pytest.mark.parametrize(("name", "form"), NAMES.items())
def test_a_suffix_says_the_format(tmp_path: Path, name: str, form: FormatName) -> None:
    """The suffix before that of a compression decides, in any case of letters."""
    (tmp_path / name).touch()
    assert find_format(TableFile(path=str(tmp_path / name), section="manifest")) == FORMATS[form]


def test_a_folder_is_one_whatever_its_name(tmp_path: Path) -> None:
    """A folder may be called like a table."""
    (tmp_path / "pictures.csv").mkdir()
    assert find_format(TableFile(path=str(tmp_path / "pictures.csv"), section="manifest")).kind == "folder"


def test_the_settings_decide_over_the_suffix(tmp_path: Path) -> None:
    """A format that is given holds."""
    (tmp_path / "m.csv").touch()
    assert find_format(TableFile(path=str(tmp_path / "m.csv"), section="manifest", format="txt")) == FORMATS["txt"]


@pytest.mark.parametrize("name", ["m.parquet.gz", "m.gz", "m.csv.bz2", "manifest"])
def test_an_unknown_format_names_the_setting(tmp_path: Path, name: str) -> None:
    """The message says which setting gives the format."""
    (tmp_path / name).touch()
    with pytest.raises(TableError, match=r"^catalogue\.path: .* set catalogue\.format$"):
        find_format(TableFile(path=str(tmp_path / name), section="catalogue"))


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A typing mistake in a path is no unknown format."""
    with pytest.raises(TableError, match=r"manifest\.path: .*m\.xyz doesn't exist"):
        find_format(TableFile(path=str(tmp_path / "m.xyz"), section="manifest"))


def test_a_path_that_cannot_be_looked_at_is_named(tmp_path: Path) -> None:
    """The system's own reason is given."""
    (tmp_path / "m.csv").symlink_to("m.csv")
    with pytest.raises(TableError, match=os.strerror(40)):
        find_format(TableFile(path=str(tmp_path / "m.csv"), section="manifest"))
