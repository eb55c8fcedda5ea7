"""The folder that holds a table's pictures: a path that leaves it through a symbolic link is refused."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from stat import S_ISLNK

from pipeline.errors import LineError, TableError

_DIRECTORIES_REMEMBERED = 4096


class Root:
    """The folder that relative paths resolve in and may not leave.

    Raises TableError where `path` is no folder; `section` holds the setting `root`, for the message. A row costs one
    `lstat`: the real path of each directory is looked up once and remembered.
    """

    def __init__(self, path: Path, section: str) -> None:
        if not path.is_dir():
            raise TableError(f"{section}.root: {path} is no folder; name the folder that holds the pictures")
        self.path = path.resolve()
        self._top = os.fspath(self.path)
        self._inside = self._top.rstrip("/") + "/"
        self._real_directory = lru_cache(_DIRECTORIES_REMEMBERED)(self._find_real_directory)

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

    def _find_real_directory(self, parent: str) -> str:
        return self._check_real(f"{self._top}/{parent}", parent).rstrip("/") + "/"

    def _check_real(self, path: str, name: str) -> str:
        real = os.path.realpath(path)
        if real != self._top and not real.startswith(self._inside):
            raise LineError("outside-root", f"{name!r} is a link, or is behind one, that leads out of the root folder")
        return real
