"""Local files: plain ones are read, all others are named and never waited for."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from pipeline.errors import SourceError
from pipeline.prepare.source import read_file


def code_of(path: Path, max_bytes: int = 100) -> str:
    with pytest.raises(SourceError) as caught:
        read_file(path, max_bytes)
    return caught.value.code


@pytest.mark.parametrize("length", [1, 100])
def test_plain_file_is_read_up_to_the_cap(tmp_path: Path, length: int) -> None:
    """A file of one byte up to exactly the cap is read whole."""
    (tmp_path / "a.jpg").write_bytes(b"x" * length)
    assert read_file(tmp_path / "a.jpg", 100) == b"x" * length


def test_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """A sparse file of a terabyte fails at once: its length is known before a byte is read."""
    with (tmp_path / "a.jpg").open("wb") as file:
        file.truncate(2**40)
    assert code_of(tmp_path / "a.jpg") == "too-large"


def test_empty_missing_and_folder_have_their_codes(tmp_path: Path) -> None:
    """What is not there, has no byte, or is a folder fails with a code of its own."""
    (tmp_path / "empty").touch()
    assert code_of(tmp_path / "empty") == "empty"
    assert code_of(tmp_path / "missing") == "not-found"
    assert code_of(tmp_path / "empty" / "below") == "not-found"
    (tmp_path / "folder").mkdir()
    assert code_of(tmp_path / "folder") == "not-a-file"


def test_pipe_socket_and_device_are_refused_without_waiting(tmp_path: Path) -> None:
    """Nobody writes into the pipe, so a reader that waited would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    assert code_of(tmp_path / "pipe") == "not-a-file"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        assert code_of(tmp_path / "socket") == "not-a-file"
    assert code_of(Path("/dev/zero")) == "not-a-file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission_is_unreadable(tmp_path: Path) -> None:
    """A file the user may not read fails as unreadable, with the way out."""
    (tmp_path / "a.jpg").write_bytes(b"x")
    (tmp_path / "a.jpg").chmod(0)
    assert code_of(tmp_path / "a.jpg") == "unreadable"
