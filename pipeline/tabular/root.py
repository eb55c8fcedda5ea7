"""The folder that holds a table's pictures: a path that leaves it, also through a symbolic link, is refused."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path
from stat import S_ISLNK

from pipeline.errors import LineError, TableError
from pipeline.tabular.location import is_cloud, join

_DIRECTORIES_REMEMBERED = 4096
_DRIVE = re.compile(r"[A-Za-z]:")
_MOST_TAILS = 20  # ends of a foreign path that are looked for below the root
_SEPARATORS = re.compile(r"[/\\]+")


def open_root(path: str, section: str) -> Root | CloudRoot:
    """Return the folder that relative paths start from; raises TableError where it is no folder of this machine."""
    return CloudRoot(path) if is_cloud(path) else Root(Path(path), section)


class CloudRoot:
    """A folder of cloud storage that relative paths start from."""

    def __init__(self, url: str) -> None:
        self.path = url.rstrip("/")

    def name_below(self, text: str) -> str:
        """Return the relative name of a picture that a table names by its path; raises LineError for one elsewhere."""
        _check_no_dots(text, self.path)
        if text[0] == "\\" or text.startswith("//") or _DRIVE.match(text):
            raise LineError("outside-root", f"{text!r} is not below {self.path} (the setting `root`)")
        return text.lstrip("/")

    def url(self, name: str) -> str:
        """Return the URL of a relative name."""
        return join(self.path, name)


class Root:
    """The folder that relative paths resolve in and may not leave.

    Raises TableError where `path` is no folder; `section` holds the setting `root`, for the message. A row costs one
    `lstat`: the real path of each directory is looked up once and remembered.
    """

    def __init__(self, path: Path, section: str) -> None:
        if not path.is_dir():
            raise TableError(f"{section}.root: {path} is no folder; name the folder that holds the pictures")
        self.path = path.resolve()
        self._given = os.path.abspath(path).rstrip("/") + "/"  # noqa: PTH100 - with the links in it, as tables have it
        self._top = os.fspath(self.path)
        self._inside = self._top.rstrip("/") + "/"
        self._real_directory = lru_cache(_DIRECTORIES_REMEMBERED)(self._find_real_directory)

    def name_below(self, text: str) -> str:
        """Return the relative name of the picture that a table names by its path.

        An absolute path is one below the root, or else one that begins there, as in the exports of web shops. Raises
        LineError "outside-root" for any other.
        """
        _check_no_dots(text, self._top)
        return self._from_absolute(text) if text[0] in "/\\" or _DRIVE.match(text) else text

    def locate(self, name: str) -> str:
        """Return the real path of a relative one that has no "..", also where no such file exists.

        It is plain text: a Path takes 3 us to make and interns its parts, for each of a million rows.
        Raises LineError "outside-root" where a link on the way leads out of the root.
        """
        parent, _, base = name.rpartition("/")
        path = self._real_directory(parent) + base
        try:
            is_link = S_ISLNK(os.lstat(path).st_mode)
        except OSError:
            is_link = False
        return self._check_real(path, name) if is_link else path

    def _from_absolute(self, path: str) -> str:
        for top in (self._given, self._inside):
            if path.startswith(top) and (name := path.removeprefix(top).lstrip("/")):
                return name
        if path[0] == "/" and path[1:2] != "/" and self._has(name := path.lstrip("/")):
            return name
        parts = [part for part in _SEPARATORS.split(path) if part and not _DRIVE.fullmatch(part)]
        tails = ("/".join(parts[start:]) for start in range(max(0, len(parts) - _MOST_TAILS), len(parts)))
        known = next(filter(self._has, tails), None)
        hint = f"; did you mean {known!r}?" if known else ""
        where = f"{path!r} is not below the folder {self._top} (the setting `root`)"
        raise LineError("outside-root", f"{where}; write it relative to that{hint}")

    def _has(self, name: str) -> bool:
        return os.path.lexists(f"{self._top}/{name}")

    def _find_real_directory(self, parent: str) -> str:
        return self._check_real(f"{self._top}/{parent}", parent).rstrip("/") + "/"

    def _check_real(self, path: str, name: str) -> str:
        real = os.path.realpath(path)
        if real != self._top and not real.startswith(self._inside):
            raise LineError("outside-root", f"{name!r} is a link, or is behind one, that leads out of the root folder")
        return real


def _check_no_dots(text: str, root: str) -> None:
    if ".." in text and ".." in _SEPARATORS.split(text):
        raise LineError("outside-root", f"{text!r} contains '..'; write it relative to the folder {root}")
