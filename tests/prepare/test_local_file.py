"""Local files: regular ones are read, all others fail with a code and never block."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from pipeline.errors import SourceError
from pipeline.prepare.local_file import read_file
from pipeline.tabular.root import Root


def code_of(path: Path, max_bytes: int = 100) -> str:
    with pytest.raises(SourceError) as caught:
        read_file(str(path), max_bytes)
    return caught.value.code


@pytest.mark.parametrize("length", [1, 100])
def test_regular_file_is_read_up_to_the_limit(tmp_path: Path, length: int) -> None:
    """A file of one byte up to exactly the limit is read."""
    (tmp_path / "a.jpg").write_bytes(b"x" * length)
    assert read_file(str(tmp_path / "a.jpg"), 100) == b"x" * length


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


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    """Whatever is refused is closed again, and so is each folder on the way."""
    (tmp_path / "a.jpg").write_bytes(b"x" * 200)
    os.mkfifo(tmp_path / "pipe")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - it is counted, not read
    for name in (".", "a.jpg", "pipe", "missing", "a.jpg/below"):
        code_of(tmp_path / name)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - likewise


@pytest.mark.parametrize("name", ["folder/a.jpg", "linked/a.jpg", "linked.jpg", "folder/up.jpg"])
def test_links_that_stay_inside_the_root_are_followed(tmp_path: Path, name: str) -> None:
    """A link to a picture or to a folder of the root leads to its picture, and so does a root behind a link."""
    inside = tmp_path / "real" / "folder"
    inside.mkdir(parents=True)
    (inside / "a.jpg").write_bytes(b"picture")
    (tmp_path / "real" / "linked").symlink_to("folder")
    (tmp_path / "real" / "linked.jpg").symlink_to(inside / "a.jpg")
    (inside / "up.jpg").symlink_to("../linked/a.jpg")
    (tmp_path / "root").symlink_to("real")
    assert read_file(Root(tmp_path / "root", "manifest").locate(name), 100) == b"picture"


@pytest.mark.parametrize("swapped", ["root", "root/folder", "root/folder/inner", "root/folder/inner/a.jpg"])
@pytest.mark.parametrize("target", ["outside", "elsewhere inside"])
def test_a_part_that_becomes_a_link_leads_nowhere(tmp_path: Path, swapped: str, target: str) -> None:
    """Whatever is replaced after the path was found to be inside the root: nothing behind the new link is read."""
    for root in ("root", "other"):
        (tmp_path / root / "folder" / "inner").mkdir(parents=True)
        (tmp_path / root / "folder" / "inner" / "a.jpg").write_bytes(root.encode())
    path = Root(tmp_path / "root", "manifest").locate("folder/inner/a.jpg")
    assert read_file(path, 100) == b"root"
    (tmp_path / swapped).rename(tmp_path / "aside")
    outside = tmp_path / swapped.replace("root", "other", 1)
    (tmp_path / swapped).symlink_to(outside if target == "outside" else tmp_path / "aside")
    with pytest.raises(SourceError, match=r"link|regular file"):
        read_file(path, 100)


def test_a_file_that_is_swapped_over_and_over_never_leads_out(tmp_path: Path) -> None:
    """While another process replaces the folder by a link and back, each read gives the picture or an error."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.jpg").write_bytes(b"secret")
    (tmp_path / "root" / "folder").mkdir(parents=True)
    (tmp_path / "root" / "folder" / "a.jpg").write_bytes(b"picture")
    path = Root(tmp_path / "root", "manifest").locate("folder/a.jpg")
    swap = (
        "import os, sys\nos.chdir(sys.argv[1])\nos.symlink('../outside', 'link')\nprint(flush=True)\n"
        "while True:\n    os.rename('folder', 'aside'); os.rename('link', 'folder')\n"
        "    os.rename('folder', 'link'); os.rename('aside', 'folder')"
    )
    with subprocess.Popen([sys.executable, "-c", swap, str(tmp_path / "root")], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        seen = Counter[bytes]()
        for number in range(1_000_000):  # on a busy machine the other process may sleep for long with its link in place
            if number >= 5000 and seen[b"picture"]:
                break
            seen[read_or_fail(path)] += 1
        process.kill()
    assert b"secret" not in seen
    assert seen[b"picture"] > 0


def read_or_fail(path: str) -> bytes:
    try:
        return read_file(path, 100)
    except SourceError as exc:
        return exc.code.encode()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission_is_unreadable(tmp_path: Path) -> None:
    """A file without read permission fails as unreadable."""
    (tmp_path / "a.jpg").write_bytes(b"x")
    (tmp_path / "a.jpg").chmod(0)
    assert code_of(tmp_path / "a.jpg") == "unreadable"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Make a folder of pictures, one with accents as a Mac writes them, one with a byte that is no UTF-8."""
    for name in ("pics/p0.png", "pics/Mug Navy.JPG", "pics/cafe\u0301.png", "Deep/er/a.webp"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/pics/k\xe4se.png")).write_bytes(b"x")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "folder", "rest", "near"),
    [
        ("pics/p0.PNG", "pics", "p0.PNG", "p0.png"),
        ("pics/P0.png", "pics", "P0.png", "p0.png"),
        ("pics\\p0.png", "", "pics\\p0.png", "pics/p0.png"),
        (".\\pics\\p0.png", "", ".\\pics\\p0.png", "pics/p0.png"),
        ("PICS/p0.png", "", "PICS/p0.png", "pics/p0.png"),
        ("deep\\ER\\A.webp", "", "deep\\ER\\A.webp", "Deep/er/a.webp"),
        ("pics/p0.jpeg", "pics", "p0.jpeg", "p0.png"),
        ("pics/mug%20navy.jpg", "pics", "mug%20navy.jpg", "Mug Navy.JPG"),
        ("pics/Mug_Navy.JPG", "pics", "Mug_Navy.JPG", "Mug Navy.JPG"),
        ("pics/caf\u00e9.png", "pics", "caf\u00e9.png", "cafe\u0301.png"),
        ("pics/k\u00e4se.png", "pics", "k\u00e4se.png", r"k\xe4se.png"),
        ("pics/other.png", "pics", "other.png", None),
        ("nowhere/p0.png", "", "nowhere/p0.png", None),
    ],
)
def test_a_missing_file_names_the_folder_searched_and_what_was_probably_meant(
    pictures: Path, name: str, folder: str, rest: str, near: str | None
) -> None:
    """The deepest folder that exists is named, and a file in it that is called almost like that."""
    with pytest.raises(SourceError) as caught:
        read_file(str(pictures / name), 100)
    hint = "" if near is None else f"; did you mean {near!r}?"
    assert str(caught.value) == f"{rest}: there is no such file in {pictures / folder}{hint}"
    assert caught.value.code == "not-found"


def test_large_folders_are_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hint is worth some time, not all of it."""
    monkeypatch.setattr("pipeline.prepare.near_match._MOST_NAMES", 3)
    for number in range(4):
        (tmp_path / f"{number}.png").touch()
    with pytest.raises(SourceError) as caught:
        read_file(str(tmp_path / "0.PNG"), 100)
    assert "did you mean" not in str(caught.value)
