"""A file is read below its folder only: no link, device or pipe on any part of its path."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import SourceError
from pipeline.guards.confined_files import read_beneath


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with one file, and a secret beside it."""
    (tmp_path / "root" / "a" / "b").mkdir(parents=True)
    (tmp_path / "root" / "a" / "b" / "c.jpg").write_bytes(b"picture")
    (tmp_path / "secret").write_bytes(b"secret")
    return tmp_path / "root"


def code_of(root: Path, name: str, max_bytes: int = 100) -> str:
    with pytest.raises(SourceError) as caught:
        read_beneath(root, name, max_bytes)
    return caught.value.code


def test_a_file_is_read_up_to_its_limit(root: Path) -> None:
    """The limit is exact."""
    assert read_beneath(root, "a/b/c.jpg", 7) == b"picture"
    assert code_of(root, "a/b/c.jpg", 6) == "too-large"


def _link_to_file(path: Path) -> None:
    path.symlink_to("../secret")


def _link_to_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    "make", [_link_to_file, _link_to_device, os.mkfifo, Path.mkdir], ids=["link", "device", "pipe", "folder"]
)
def test_only_regular_files_are_read(root: Path, make: Callable[[Path], None]) -> None:
    """A link, a link to a device, a pipe and a folder are refused, and none of them blocks."""
    make(root / "x.jpg")
    assert code_of(root, "x.jpg") == "not-a-file"


def test_no_folder_on_the_way_may_be_a_link(root: Path) -> None:
    """A folder that was replaced by a link to elsewhere, even to a place inside, is not entered."""
    (root / "elsewhere").symlink_to("..")
    (root / "inside").symlink_to("a")
    assert code_of(root, "elsewhere/secret") == "not-found"
    assert code_of(root, "inside/b/c.jpg") == "not-found"


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../secret", "a/../../secret", "a//b/c.jpg", "./a/b/c.jpg"])
def test_a_path_that_is_not_below_the_folder_is_refused(root: Path, name: str) -> None:
    """Absolute paths, and parts that lead up or nowhere, are refused as text."""
    assert code_of(root, name) == "outside-root"


def test_a_file_that_grows_is_not_read_past_its_limit(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that says that it is small, and then has more bytes, is refused."""
    path = root / "a" / "b" / "c.jpg"
    small = path.stat()
    path.write_bytes(b"x" * 1000)
    monkeypatch.setattr(os, "fstat", lambda _: small)
    assert code_of(root, "a/b/c.jpg", 100) == "too-large"


def test_a_missing_file_is_named_so(root: Path) -> None:
    """A file that is gone, and one whose folder is gone, have the same code."""
    assert {code_of(root, "gone.jpg"), code_of(root, "gone/c.jpg")} == {"not-found"}
