"""Local files: regular ones are read, all others fail with a code and never block."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from pipeline.errors import SourceError
from pipeline.prepare.local_file import read_file


def code_of(path: Path, max_bytes: int = 100) -> str:
    with pytest.raises(SourceError) as caught:
        read_file(path, max_bytes)
    return caught.value.code


@pytest.mark.parametrize("length", [1, 100])
def test_regular_file_is_read_up_to_the_limit(tmp_path: Path, length: int) -> None:
    """A file of one byte up to exactly the limit is read."""
    (tmp_path / "a.jpg").write_bytes(b"x" * length)
    assert read_file(tmp_path / "a.jpg", 100) == b"x" * length


def test_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """A sparse file of a terabyte fails at once: its length is known before a byte is read."""
    with (tmp_path / "a.jpg").open("wb") as file:
        file.truncate(2**40)
    assert code_of(tmp_path / "a.jpg") == "too-large"


def test_empty_missing_and_folder_have_their_codes(tmp_path: Path) -> None:
    """An empty file, a missing file and a folder fail with codes of their own."""
    (tmp_path / "empty").touch()
    assert code_of(tmp_path / "empty") == "empty"
    assert code_of(tmp_path / "missing") == "not-found"
    assert code_of(tmp_path / "empty" / "below") == "not-found"
    (tmp_path / "folder").mkdir()
    assert code_of(tmp_path / "folder") == "not-a-file"


def test_pipe_socket_and_device_are_refused_without_waiting(tmp_path: Path) -> None:
    """Nothing writes into the pipe, so reading it would block for ever."""
    os.mkfifo(tmp_path / "pipe")
    assert code_of(tmp_path / "pipe") == "not-a-file"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        assert code_of(tmp_path / "socket") == "not-a-file"
    assert code_of(Path("/dev/zero")) == "not-a-file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission_is_unreadable(tmp_path: Path) -> None:
    """A file without read permission fails as unreadable."""
    (tmp_path / "a.jpg").write_bytes(b"x")
    (tmp_path / "a.jpg").chmod(0)
    assert code_of(tmp_path / "a.jpg") == "unreadable"
