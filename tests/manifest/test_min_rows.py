"""A manifest that is too short is refused before any row is read, and one that is long enough is read whole."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import ManifestConfig
from pipeline.errors import ExitCode, TableError
from pipeline.manifest import open_manifest

LINES = ["a.png", "b.png", "# comment", "../bad.png", "", '"c.png"', "ftp://x/y"]


def ids_of(path: Path, min_rows: int) -> list[str | None]:
    """Read a manifest that must have so many rows."""
    with open_manifest(ManifestConfig(path=str(path), min_rows=min_rows)) as manifest:
        return [row.id for row in manifest.rows()]


@given(lines=st.lists(st.sampled_from(LINES), max_size=12), min_rows=st.integers(0, 6), is_stdin=st.booleans())
@settings(max_examples=100, deadline=None)
def test_the_rows_that_can_be_done_are_counted(lines: list[str], min_rows: int, is_stdin: bool) -> None:
    """With enough of them every row is read, from a file and from stdin alike; with fewer none is, with exit code 2."""
    text, good = "\n".join(lines), sum(line.strip('"') in {"a.png", "b.png", "c.png"} for line in lines)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.txt")
        path.write_text(text)
        every = ids_of(path, 0)
        config = ManifestConfig(path="-" if is_stdin else str(path), min_rows=min_rows)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            if good < min_rows:
                with pytest.raises(TableError) as raised:
                    open_manifest(config, stdin=descriptor)
                assert raised.value.exit_code == ExitCode.USAGE
                assert f"has {good} row{'' if good == 1 else 's'} that can be done" in str(raised.value)
                assert f"there must be {min_rows} at least" in str(raised.value)
            else:
                with open_manifest(config, stdin=descriptor) as manifest:
                    assert [row.id for row in manifest.rows()] == every
        finally:
            os.close(descriptor)


def test_a_folder_may_be_too_empty(tmp_path: Path) -> None:
    """A folder whose disk is not mounted is empty, and no reason to begin."""
    with pytest.raises(TableError, match=r"manifest\.min_rows: .* has 0 rows"):
        ids_of(tmp_path, 1)


def test_looking_ahead_changes_nothing(tmp_path: Path) -> None:
    """Rows that were looked at come again, with their lines and numbers, also behind a quote that is left open."""
    (tmp_path / "m.csv").write_text('id,image\n1,a.png\n2,"b.png\n3,c.png\n4,d.png\n')
    config = ManifestConfig(path=str(tmp_path / "m.csv"))
    with open_manifest(config) as manifest:
        rows = list(manifest.rows())
    with open_manifest(config) as manifest:
        assert [manifest.look_ahead(most) for most in (1, 9, 2)] == [1, 3, 2]
        (segment,) = manifest.segments()  # type: ignore[var-annotated] # none is known
        assert segment.items() == rows
    with open_manifest(config) as manifest:
        manifest.look_ahead(2)
        assert list(manifest.rows()) == rows
