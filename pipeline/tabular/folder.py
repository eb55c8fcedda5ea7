"""The pictures of a folder and of the folders below it, in an order that is the same every time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import LineError, TableError
from pipeline.tabular.formats import TableFile

# Files that are named like pictures are listed whatever they hold: a broken one must fail by name, not vanish.
_PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".avif", ".tif", ".tiff", ".bmp"}
    | {".heic", ".heif", ".jxl", ".jp2", ".svg"}
)
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
_HEAD_BYTES = 32


def list_pictures(file: TableFile, root: Path) -> Iterator[str]:
    """Return the pictures of a folder as lines for `parse_listed`: a folder's files by name, then its folders by name.

    A line is the path from `root` (resolved), NUL, why this folder can't be read (else nothing), NUL: no name holds
    a NUL. Hidden files, linked folders, and files that are pictures neither by name nor by content are left out. Memory
    holds the names of one folder, and the folders still to come.
    Raises TableError where the folder itself can't be read or is outside the root.
    """
    folder = Path(file.path)
    try:
        start = folder.resolve().relative_to(root)
        _scan(folder)
    except OSError as exc:
        raise TableError(f"{file.section}.path: the folder {folder} can't be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise TableError(f"{file.section}.path: the folder {folder} is outside {file.section}.root") from exc
    return _walk(os.fspath(root), "" if start == Path() else f"{start}/")


def parse_listed(line: str) -> tuple[str, LineError | None]:
    """Return the name in a line of `list_pictures`, and what is wrong with it."""
    name, reason, _ = line.split("\0")
    if not reason:
        return name, None
    return name, LineError("unreadable-folder", f"the folder {name!r} can't be read: {reason}")


def _walk(root: str, start: str) -> Iterator[str]:
    waiting = [start]
    while waiting:
        folder = waiting.pop()
        try:
            files, folders = _scan(f"{root}/{folder}")
        except OSError as exc:
            yield f"{folder}\0{exc.strerror}\0"
            continue
        waiting += (f"{folder}{name}/" for name in sorted(folders, reverse=True))
        yield from (f"{folder}{name}\0\0" for name in sorted(files) if _is_listed(f"{root}/{folder}{name}"))


def _scan(folder: str | Path) -> tuple[list[str], list[str]]:
    """Return the names of a folder's regular files (also behind links) and of its own folders, but for hidden ones."""
    files: list[str] = []
    folders: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            elif _is_file(entry):
                files.append(entry.name)
    return files, folders


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Return True for a regular file, and for a link that leads nowhere or in a circle."""
    try:
        return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))  # noqa: PTH110 - a plain string
    except OSError:
        return entry.is_symlink()


def _is_listed(path: str) -> bool:
    return os.path.splitext(path)[1].lower() in _PICTURE_SUFFIXES or _holds_picture(path)  # noqa: PTH122 - a plain string


def _holds_picture(path: str) -> bool:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a plain string
            return _is_picture(file.read(_HEAD_BYTES) or b"")
    except OSError:
        return False


def _is_picture(head: bytes) -> bool:
    """Return True where a file begins like a JPEG, PNG, GIF, WebP, AVIF, TIFF or BMP."""
    return (
        head.startswith(_SIGNATURES)
        or (head.startswith(b"RIFF") and head[8:12] == b"WEBP")
        or (head[4:8] == b"ftyp" and (b"avif" in head[8:] or b"avis" in head[8:]))
        or (head.startswith(b"BM") and head[6:10] == bytes(4))
    )
