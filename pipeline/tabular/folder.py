"""The pictures of a folder and of the folders below it, in an order that is the same every time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import LineError, TableError
from pipeline.tabular.formats import TableFile
from pipeline.tabular.pictures import (
    HEAD_BYTES,
    developed_raws,
    has_picture_name,
    is_ignored_file,
    is_ignored_folder,
    is_picture,
)
from pipeline.wording import readable

_SKIPPED = "\0\0"


def list_pictures(file: TableFile, root: Path) -> Iterator[str]:
    """Return the pictures of a folder as lines for `parse_listed`: a folder's files by name, then its folders by name.

    A line is the path from `root` (resolved), NUL, why this folder can't be read (else nothing), NUL: no name holds
    a NUL. A line without a name at the end stands for each file or folder that is skipped: see pictures.py for those
    that are by their names; linked folders, and files that are pictures neither by name nor by content, are too. Memory
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
    """Return the name in a line of `list_pictures`, and what is wrong with it; no name for what is skipped."""
    name, reason, _ = line.split("\0")
    if not reason:
        return name, None
    return name, LineError("unreadable-folder", f"the folder {readable(name)!r} can't be read: {reason}")


@dataclass(slots=True, kw_only=True)
class _Content:
    """What is directly in a folder: regular files (also behind links), its own folders, and how much is skipped."""

    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    skipped: int = 0


def _walk(root: str, start: str) -> Iterator[str]:
    waiting, skipped = [start], 0
    while waiting:
        folder = waiting.pop()
        try:
            content = _scan(f"{root}/{folder}")
        except OSError as exc:
            yield f"{folder}\0{exc.strerror}\0"
            continue
        waiting += (f"{folder}{name}/" for name in sorted(content.folders, reverse=True))
        skipped += content.skipped
        developed = developed_raws(content.files)
        for name in sorted(content.files):
            if name not in developed and _is_listed(f"{root}/{folder}{name}", name):
                yield f"{folder}{name}\0\0"
            else:
                skipped += 1
    for _ in range(skipped):
        yield _SKIPPED


def _scan(folder: str | Path) -> _Content:
    content = _Content()
    with os.scandir(folder) as entries:
        for entry in entries:
            is_folder = entry.is_dir(follow_symlinks=False)
            if is_folder and not is_ignored_folder(entry.name):
                content.folders.append(entry.name)
            elif not is_folder and not is_ignored_file(entry.name) and _is_file(entry):
                content.files.append(entry.name)
            else:
                content.skipped += 1
    return content


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Return True for a regular file, and for a link that leads nowhere or in a circle."""
    try:
        return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))  # noqa: PTH110 - a plain string
    except OSError:
        return entry.is_symlink()


def _is_listed(path: str, name: str) -> bool:
    return has_picture_name(name) or _holds_picture(path)


def _holds_picture(path: str) -> bool:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a plain string
            return is_picture(file.read(HEAD_BYTES) or b"")
    except OSError:
        return False
