"""The pictures of a folder and of the folders below it, in an order that is the same every time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import LineError, TableError
from pipeline.tabular.formats import TableFile
from pipeline.tabular.listing import SKIPPED_LINE, listed_line
from pipeline.tabular.location import list_folder
from pipeline.tabular.pictures import (
    HEAD_BYTES,
    developed_raws,
    has_picture_name,
    is_ignored_file,
    is_ignored_folder,
    is_picture,
)
from pipeline.wording import readable


def list_pictures(file: TableFile, root: Path) -> Iterator[str]:
    """Return the pictures of a folder as lines (listing.py): a folder's files by name, then its folders by name.

    Names are paths from `root` (resolved). Skipped are those of pictures.py, linked folders, and files that are
    pictures neither by name nor by content. Memory holds the names of one folder, and the folders still to come.
    Raises TableError where the folder itself can't be read or is outside the root.
    """
    folder = Path(file.path)
    try:
        start = folder.resolve().relative_to(root)
        _scan(os.fspath(folder))
    except OSError as exc:
        raise _unreadable(file, exc) from exc
    except ValueError as exc:
        raise _outside(file) from exc
    return _walk(f"{root}/", "" if start == Path() else f"{start}/", _scan, _is_listed)


def list_stored_pictures(file: TableFile, root: str) -> Iterator[str]:
    """Return the pictures of a folder of cloud storage as lines, likewise; only their names are looked at.

    Names are paths from the URL `root`. Raises TableError where the folder can't be read or is outside the root.
    """
    url, top = file.path.rstrip("/"), root.rstrip("/")
    try:
        _scan_stored(url)
    except OSError as exc:
        raise _unreadable(file, exc) from exc
    if url != top and not url.startswith(f"{top}/"):
        raise _outside(file)
    start = url.removeprefix(top).lstrip("/")
    return _walk(f"{top}/", f"{start}/" if start else "", _scan_stored, lambda _, name: has_picture_name(name))


@dataclass(slots=True, kw_only=True)
class _Content:
    """What is directly in a folder: files with their stamps, its own folders, and how much is skipped."""

    files: dict[str, str] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    skipped: int = 0


def _walk(
    root: str, start: str, scan: Callable[[str], _Content], is_listed: Callable[[str, str], bool]
) -> Iterator[str]:
    waiting, skipped = [start], 0
    while waiting:
        folder = waiting.pop()
        try:
            content = scan(f"{root}{folder}")
        except OSError as exc:
            reason = f"the folder {readable(folder)!r} can't be read: {exc.strerror}"
            yield listed_line(folder or "./", error=LineError("unreadable-folder", reason))
            continue
        waiting += (f"{folder}{name}/" for name in sorted(content.folders, reverse=True))
        skipped += content.skipped
        developed = developed_raws(content.files)
        for name in sorted(content.files):
            if name not in developed and is_listed(f"{root}{folder}{name}", name):
                yield listed_line(f"{folder}{name}", stamp=content.files[name])
            else:
                skipped += 1
    for _ in range(skipped):
        yield SKIPPED_LINE


def _scan(folder: str) -> _Content:
    """Look into a folder of this machine: regular files (also behind links), whose stamps are taken elsewhere."""
    content = _Content()
    with os.scandir(folder) as entries:
        for entry in entries:
            is_folder = entry.is_dir(follow_symlinks=False)
            if is_folder and not is_ignored_folder(entry.name):
                content.folders.append(entry.name)
            elif not is_folder and not is_ignored_file(entry.name) and _is_file(entry):
                content.files[entry.name] = ""
            else:
                content.skipped += 1
    return content


def _scan_stored(url: str) -> _Content:
    stored = list_folder(url)
    files = {name: stamp for name, stamp in stored.files.items() if not is_ignored_file(name)}
    folders = [name for name in stored.folders if not is_ignored_folder(name)]
    skipped = len(stored.files) - len(files) + len(stored.folders) - len(folders)
    return _Content(files=files, folders=folders, skipped=skipped)


def _unreadable(file: TableFile, error: OSError) -> TableError:
    return TableError(f"{file.section}.path: the folder {file.path} can't be read: {error.strerror}")


def _outside(file: TableFile) -> TableError:
    return TableError(f"{file.section}.path: the folder {file.path} is outside {file.section}.root")


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
