"""A folder is a manifest of its pictures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.config import ManifestConfig
from pipeline.errors import TableError
from pipeline.manifest import open_manifest
from pipeline.prepare.local_file import read_file
from pipeline.records import Failure, LocalFile, Row, image_name

PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)


def rows_of(folder: Path, root: Path | None = None) -> list[Row | Failure]:
    config = ManifestConfig(path=str(folder), root=None if root is None else str(root))
    with open_manifest(config) as manifest:
        return list(manifest.rows())


def _ids(folder: Path) -> list[str | None]:
    return [row.id for row in rows_of(folder)]


def _write(folder: Path, name: str, data: bytes) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_pictures_come_in_one_order_by_relative_path(tmp_path: Path) -> None:
    """A folder's own files come by name, then its folders by name, numbered through."""
    for name in ["b/2.png", "b/1.png", "b/a/0.png", "a/9.png", "z.png", "c.png"]:
        _write(tmp_path, name, PNG)
    rows = rows_of(tmp_path)
    assert [row.id for row in rows] == ["c.png", "z.png", "a/9.png", "b/1.png", "b/2.png", "b/a/0.png"]
    assert [(row.ordinal, row.line) for row in rows] == [(number, number + 1) for number in range(6)]


def test_a_link_in_a_circle_is_a_row_like_any_broken_one(tmp_path: Path) -> None:
    """It ends neither the folder nor the run; without a picture's name it is passed over."""
    _write(tmp_path, "a.png", PNG)
    for name in ("circle.png", "circle"):
        (tmp_path / name).symlink_to(name)
    (tmp_path / "up").symlink_to("..")
    assert _ids(tmp_path) == ["a.png", "circle.png"]


@pytest.mark.parametrize(
    "head",
    [
        b"\xff\xd8\xff\xe0" + bytes(12),
        PNG,
        b"GIF89a" + bytes(10),
        b"GIF87a" + bytes(10),
        b"RIFF\x00\x00\x00\x00WEBPVP8 ",
        b"\x00\x00\x00\x1cftypavif",
        b"II*\x00" + bytes(12),
        b"MM\x00*" + bytes(12),
        b"BM\x99\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00",
    ],
    ids=["jpeg", "png", "gif89", "gif87", "webp", "avif", "tiff-le", "tiff-be", "bmp"],
)
def test_content_makes_a_picture(tmp_path: Path, head: bytes) -> None:
    """A picture is found under any name."""
    _write(tmp_path, "picture.data", head)
    assert _ids(tmp_path) == ["picture.data"]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("index.md", b"# Index"),
        ("list.csv", b"id,image\n"),
        ("notes", b"BMW and others"),
        ("empty", b""),
        ("sound.wav", b"RIFF\x00\x00\x00\x00WAVEfmt "),
        ("film.mp4", b"\x00\x00\x00\x1cftypisom"),
        (".hidden.png", PNG),
        (".git/a.png", PNG),
    ],
)
def test_foreign_and_hidden_files_are_passed_over(tmp_path: Path, name: str, data: bytes) -> None:
    """What neither is nor claims to be a picture is no row, nor is anything hidden."""
    _write(tmp_path, name, data)
    assert _ids(tmp_path) == []


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "a.png", "a.heic", "a.svg"])
def test_a_file_that_claims_to_be_a_picture_is_a_row(tmp_path: Path, name: str) -> None:
    """A broken picture must fail by name later, not vanish here."""
    _write(tmp_path, name, b"<html>404</html>")
    assert _ids(tmp_path) == [name]


def test_names_are_taken_as_they_are(tmp_path: Path) -> None:
    """Blanks, colons and schemes in the name of a file mean nothing."""
    names = [" blank .png", "C:x.png", "data:x.png", "token:x.png"]
    for name in names:
        _write(tmp_path, name, PNG)
    rows = rows_of(tmp_path)
    assert [row.id for row in rows] == names
    assert all(isinstance(row, Row) for row in rows)


def test_a_name_with_a_line_break_fails_by_itself(tmp_path: Path) -> None:
    """It is a failure that can be written down."""
    _write(tmp_path, "a\nb.png", PNG)
    _write(tmp_path, "c.png", PNG)
    bad, good = rows_of(tmp_path)
    assert isinstance(bad, Failure)
    assert (bad.code, good.id) == ("bad-id", "c.png")
    assert str(bad.image).encode()


def test_a_name_that_is_not_utf8_is_carried_through(tmp_path: Path) -> None:
    r"""Its bytes find the file, and \xe4 stands for one in the id and the record, which are valid text."""
    name = os.fsdecode(b"k\xe4se.png")
    _write(tmp_path, name, PNG)
    (row,) = rows_of(tmp_path)
    assert isinstance(row, Row)
    assert isinstance(row.image, LocalFile)
    assert (row.id, image_name(row.image), row.image.name) == (r"k\xe4se.png", r"k\xe4se.png", name)
    assert read_file(str(Path(row.image.path)), 1000) == PNG


def test_each_file_is_a_row_or_counted(tmp_path: Path) -> None:
    """Files of systems, unfinished and foreign ones are skipped, however they begin; nothing vanishes uncounted."""
    ignored = [
        *(
            ".DS_Store",
            ".hidden.png",
            "Thumbs.db",
            "desktop.ini",
            "~$list.png",
            "a.png.part",
            "a.tmp",
            "a.PNG.crdownload",
        ),
        *("a.png~", "@eaDir/a.png", "__MACOSX/._a.png", "#recycle/b.png", ".git/c.png", "index.md", "list.csv"),
    ]
    pictures = ["a.png", "b.dat", "sub/a.JPG", "sub/deep/photo"]
    for name in [*ignored, *pictures]:
        _write(tmp_path, name, b"id,image\n" if name.endswith((".md", ".csv")) else PNG)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "linked").symlink_to("sub")
    with open_manifest(ManifestConfig(path=str(tmp_path))) as manifest:
        ids = [row.id for row in manifest.rows()]
        assert (ids, manifest.skipped) == (pictures, len(ignored) + 2)


def test_raw_photographs_fail_unless_they_are_developed(tmp_path: Path) -> None:
    """A camera's own format isn't read, and says so; one that has a JPEG beside it is skipped."""
    tiff = b"II*\0" + bytes(28)
    for name in ("a.CR2", "b.NEF", "b.jpg", "c.dng", "c.txt", "d/B.ARW", "d/b.png"):
        _write(tmp_path, name, tiff)
    with open_manifest(ManifestConfig(path=str(tmp_path))) as manifest:
        rows = list(manifest.rows())
        assert manifest.skipped == 2
    assert [row.id for row in rows] == ["a.CR2", "b.jpg", "c.dng", "c.txt", "d/b.png"]
    assert [(row.id, row.code) for row in rows if isinstance(row, Failure)] == [
        ("a.CR2", "unsupported-format"),
        ("c.dng", "unsupported-format"),
    ]
    assert "'a.CR2' is a raw photograph (.cr2)" in next(row.message for row in rows if isinstance(row, Failure))


def test_links_are_followed_inside_only(tmp_path: Path) -> None:
    """Linked files inside the root are rows, those that lead out fail; linked folders are passed over."""
    _write(tmp_path, "secret/s.png", PNG)
    _write(tmp_path, "root/a.png", PNG)
    root = tmp_path / "root"
    (root / "b.png").symlink_to("a.png")
    (root / "broken.png").symlink_to("nowhere.png")
    (root / "out.png").symlink_to("../secret/s.png")
    (root / "cycle").symlink_to(".")
    (root / "folder").symlink_to("../secret")
    rows = rows_of(root)
    assert [row.id for row in rows] == ["a.png", "b.png", "broken.png", "out.png"]
    assert [row.code for row in rows if isinstance(row, Failure)] == ["outside-root"]


def test_a_pipe_is_no_picture(tmp_path: Path) -> None:
    """Nothing is opened that would make the run wait."""
    os.mkfifo(tmp_path / "pipe.png")
    os.mkfifo(tmp_path / "pipe")
    assert _ids(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_cannot_be_read_is_a_failure(tmp_path: Path) -> None:
    """One locked folder costs its own pictures only."""
    _write(tmp_path, "locked/a.png", PNG)
    _write(tmp_path, "open/b.png", PNG)
    (tmp_path / "locked").chmod(0)
    locked, row = rows_of(tmp_path)
    (tmp_path / "locked").chmod(0o700)
    assert isinstance(locked, Failure)
    assert (locked.code, locked.image, row.id) == ("unreadable-folder", "locked/", "open/b.png")


def test_a_folder_that_vanishes_on_the_way_is_a_failure(tmp_path: Path) -> None:
    """A folder that is gone when its turn comes is named, and the others go on."""
    _write(tmp_path, "a/1.png", PNG)
    _write(tmp_path, "b/2.png", PNG)
    _write(tmp_path, "c/3.png", PNG)
    with open_manifest(ManifestConfig(path=str(tmp_path))) as manifest:
        rows = manifest.rows()
        first = next(rows)
        (tmp_path / "b" / "2.png").unlink()
        (tmp_path / "b").rmdir()
        gone, last = rows
    assert (first.id, last.id) == ("a/1.png", "c/3.png")
    assert isinstance(gone, Failure)
    assert (gone.code, gone.image) == ("unreadable-folder", "b/")


def test_a_root_above_the_folder_names_its_rows(tmp_path: Path) -> None:
    """With manifest.root above it, a folder's ids are relative to that root."""
    _write(tmp_path, "2026/summer/a.png", PNG)
    assert [row.id for row in rows_of(tmp_path / "2026", tmp_path)] == ["2026/summer/a.png"]


def test_a_folder_outside_its_root_is_refused(tmp_path: Path) -> None:
    """A root that doesn't hold the folder is a mistake of the config."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with pytest.raises(TableError, match=r"outside manifest\.root"):
        rows_of(tmp_path / "a", tmp_path / "b")


def test_every_shared_picture_is_a_row(shared_photos: Path) -> None:
    """All 42 good and all 13 hostile files are rows; the index beside them is none."""
    assert len(rows_of(shared_photos / "good")) == 42
    assert len(rows_of(shared_photos / "hostile")) == 13
    assert len(rows_of(shared_photos)) == 55
