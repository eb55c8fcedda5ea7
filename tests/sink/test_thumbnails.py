"""The cache of thumbnails: the latest ones, within a budget, and no fault of it is one of the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.sink import thumbnails
from pipeline.sink.thumbnails import THUMBNAILS, Thumbnails


def test_a_newer_thumbnail_replaces_the_older(tmp_path: Path) -> None:
    """A row has one thumbnail, that of its latest picture; a row without one is left out."""
    cache = Thumbnails(tmp_path)
    cache.put({b"a": b"old", b"b": b"other"})
    cache.put({b"a": b"new"})
    assert cache.get([b"a", b"b", b"c"], 100) == {b"a": b"new", b"b": b"other"}


def test_the_first_ones_count_within_the_budget(tmp_path: Path) -> None:
    """What does not fit any more is left out, and what comes after it."""
    cache = Thumbnails(tmp_path)
    cache.put({b"a": b"12345", b"b": b"1234567890", b"c": b"1"})
    assert [*cache.get([b"c", b"c", b"b", b"a"], 12)] == [b"c", b"b"]


def test_the_oldest_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file holds so many thumbnails and no more."""
    monkeypatch.setattr(thumbnails, "_MOST_KEPT", 3)
    cache = Thumbnails(tmp_path)
    for name in (b"a", b"b", b"c", b"a", b"d"):
        cache.put({name: name})
    assert sorted(cache.get([b"a", b"b", b"c", b"d"], 100)) == [b"a", b"c", b"d"]


def test_a_broken_file_is_made_again(tmp_path: Path) -> None:
    """Nothing is raised; the file is removed, and the next thumbnails are kept."""
    (tmp_path / THUMBNAILS).write_bytes(b"no database at all" * 100)
    cache = Thumbnails(tmp_path)
    assert cache.get([b"a"], 100) == {}
    cache.put({b"a": b"webp"})
    assert cache.get([b"a"], 100) == {b"a": b"webp"}


def test_it_is_private_and_follows_no_link(tmp_path: Path) -> None:
    """Only the owner may read it; a link in its place is removed, and what it leads to is left alone."""
    target = tmp_path / "target"
    target.write_bytes(b"mine")
    (tmp_path / THUMBNAILS).symlink_to(target)
    cache = Thumbnails(tmp_path)
    cache.put({b"a": b"webp"})
    cache.put({b"a": b"webp"})
    assert target.read_bytes() == b"mine"
    assert (tmp_path / THUMBNAILS).stat().st_mode & 0o777 == 0o600


def test_without_a_report_there_is_no_file(tmp_path: Path) -> None:
    """Nothing is made where there is nothing to keep."""
    cache = Thumbnails(tmp_path)
    cache.put({})
    assert cache.get([b"a"], 100) == {}
    assert [*tmp_path.iterdir()] == []
