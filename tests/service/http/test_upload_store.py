"""Uploaded pictures are kept for later requests, for a day and within limits."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.errors import ServiceError
from pipeline.service.http.upload_store import KEPT_SECONDS, UploadStore


class Clock:
    """A clock that moves on by a second each time it is read."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def test_uploads_are_kept_within_a_limit_of_bytes() -> None:
    """The oldest pictures are dropped first; a picture that is uploaded again counts as new."""
    uploads = UploadStore(max_bytes=30, clock=Clock())
    first, second = uploads.add(b"a" * 10, "aa"), uploads.add(b"b" * 10, "bb")
    assert uploads.add(b"a" * 10, "aa") == first
    third = uploads.add(b"c" * 15, "cc")
    assert (uploads.get(first), uploads.get(second), uploads.get(third)) == (b"a" * 10, None, b"c" * 15)


def test_uploads_are_kept_within_a_number() -> None:
    """However small they are."""
    uploads = UploadStore(max_pictures=2, clock=Clock())
    tokens = [uploads.add(data, data.hex()) for data in (b"a", b"b", b"c")]
    assert [uploads.get(token) for token in tokens] == [None, b"b", b"c"]


def test_an_upload_outlives_a_restart_for_a_day(tmp_path: Path) -> None:
    """After that it is unknown, and the next start deletes it; nobody else can read the file."""
    path, clock = tmp_path / "uploads.db", Clock()
    with closing(UploadStore(path, clock=clock)) as uploads:
        token = uploads.add(b"picture", "ab")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with closing(UploadStore(path, clock=clock)) as uploads:
        assert uploads.get(token) == b"picture"
        clock.now += KEPT_SECONDS
        assert uploads.get(token) is None
    with closing(UploadStore(path, clock=clock)), closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM uploads").fetchone() == (0,)


def test_a_file_that_can_not_be_used_is_named(tmp_path: Path) -> None:
    """The error says what to do."""
    (tmp_path / "uploads.db").write_bytes(b"no database " * 1000)
    with pytest.raises(ServiceError, match=r"uploads\.db: uploads can't be kept there .*; delete the file"):
        UploadStore(tmp_path / "uploads.db")
