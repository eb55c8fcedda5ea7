"""Output files hold whole lines only, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pipeline.errors import OutputError
from pipeline.sink.output import JsonLines, write_atomically


def test_what_lies_past_the_committed_length_is_cut_off(tmp_path: Path) -> None:
    """A torn tail of an earlier run disappears when the file is opened."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a":1}\n{"b":')
    file = JsonLines(path, 8)
    assert file.append([b'{"c":3}\n', b"{}\n"]) == [8, 16]
    file.close()
    assert path.read_bytes() == b'{"a":1}\n{"c":3}\n{}\n'


def test_a_disk_that_fills_up_in_the_middle_leaves_no_torn_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that gets only half its bytes to the disk is taken back."""
    path = tmp_path / "a.jsonl"
    file = JsonLines(path, 0)
    file.append([b"1\n"])
    write = os.write

    def half(fd: int, data: bytes) -> int:
        if len(data) < 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OutputError, match="No space left on device"):
        file.append([b"0123456789\n"])
    monkeypatch.undo()
    assert path.read_bytes() == b"1\n"
    assert file.append([b"2\n"]) == [2]
    file.close()


def test_replacing_a_file_leaves_no_trace_when_it_fails(tmp_path: Path) -> None:
    """A file that can't be written is named, and nothing half-written is left beside it."""
    write_atomically(tmp_path / "run.json", b"{}")
    assert (tmp_path / "run.json").read_bytes() == b"{}"
    with pytest.raises(OutputError, match=r"no-folder/run\.json"):
        write_atomically(tmp_path / "no-folder" / "run.json", b"{}")
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
