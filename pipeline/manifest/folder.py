"""A folder as a manifest: its pictures by content, in an order that is the same every night."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import LineError, ManifestError
from pipeline.manifest.root import Root

# Files that say they are pictures are rows whatever they hold: a broken one must fail by name, not vanish.
_CLAIMS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".avif", ".tif", ".tiff", ".bmp"}
    | {".heic", ".heif", ".jxl", ".jp2", ".svg"}
)
_HEAD_BYTES = 16


def folder_files(root: Root, folder: Path) -> Iterator[str]:
    """Return the pictures of `folder` and below by path from the root: a folder's files by name, then its folders.

    Each is one text: the name, NUL, why a folder can't be read (else nothing), NUL, which no name holds. Hidden files,
    linked folders, and files that neither are nor claim to be pictures are passed over. Held in memory: the names of
    one folder, and the folders still to come.
    Raises ManifestError where the folder itself can't be read or lies outside the root.
    """
    top = os.fspath(root.path)
    try:
        start = folder.resolve().relative_to(root.path)
        _listing(folder)
    except OSError as exc:
        raise ManifestError(f"manifest.path: the folder {folder} can't be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise ManifestError(f"manifest.path: the folder {folder} lies outside manifest.root") from exc
    return _walk(top, "" if start == Path() else f"{start}/")


def read_found(found: str) -> tuple[str, LineError | None]:
    """Return the name in one of `folder_files`' texts, and what is wrong with it."""
    name, reason, _ = found.split("\0")
    if not reason:
        return name, None
    return name, LineError("unreadable-folder", f"the folder {name!r} can't be read: {reason}")


def _walk(top: str, start: str) -> Iterator[str]:
    waiting = [start]
    while waiting:
        folder = waiting.pop()
        try:
            files, folders = _listing(f"{top}/{folder}")
        except OSError as exc:
            yield f"{folder}\0{exc.strerror}\0"
            continue
        waiting += (f"{folder}{name}/" for name in sorted(folders, reverse=True))
        yield from (f"{folder}{name}\0\0" for name in sorted(files) if _is_row(f"{top}/{folder}{name}"))


def _listing(folder: str | Path) -> tuple[list[str], list[str]]:
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
    """Tell whether an entry is a regular file, or a link that leads nowhere or in a circle."""
    try:
        return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))  # noqa: PTH110 - a plain string
    except OSError:
        return entry.is_symlink()


def _is_row(path: str) -> bool:
    return os.path.splitext(path)[1].lower() in _CLAIMS or _holds_picture(path)  # noqa: PTH122 - a plain string


def _holds_picture(path: str) -> bool:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a plain string
            return is_picture(file.read(_HEAD_BYTES) or b"")
    except OSError:
        return False


def is_picture(head: bytes) -> bool:
    """Tell by its first 16 bytes whether a file is a JPEG, PNG, GIF, WebP, AVIF, TIFF or BMP."""
    return (
        head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*"))
        or (head.startswith(b"RIFF") and head[8:12] == b"WEBP")
        or (head[4:8] == b"ftyp" and head[8:12] in {b"avif", b"avis"})
        or (head.startswith(b"BM") and head[6:10] == bytes(4))
    )
