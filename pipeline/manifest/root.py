"""Keeps local pictures inside the manifest's root: lexically first, then by what symbolic links really point at."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path
from stat import S_ISLNK

from pipeline.errors import LineError, ManifestError
from pipeline.records import LocalFile

_DRIVE = re.compile(r"[A-Za-z]:")
_SEPARATORS = re.compile(r"[/\\]")
_DIRECTORIES_REMEMBERED = 4096


class Root:
    """The folder that relative paths resolve in and may not leave.

    A row costs one `lstat`: the real place of each directory is looked up once and remembered.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise ManifestError(f"manifest.root: {path} is no folder; name the folder that holds the pictures")
        self.path = path.resolve()
        self._top = os.fspath(self.path)
        self._inside = self._top.rstrip("/") + "/"
        self._real_directory = lru_cache(_DIRECTORIES_REMEMBERED)(self._find_real_directory)

    def locate(self, name: str) -> LocalFile:
        """Return where a name from a manifest really lies.

        Raises LineError "outside-root" for absolute paths, drive letters, `..`, and links that lead out of the root.
        """
        _check_lexically(name)
        return self.look_up(name)

    def look_up(self, name: str) -> LocalFile:
        """Return where a relative path really lies; a file that isn't there is for the next stage to report.

        Raises LineError "outside-root" where a link on the way leads out of the root.
        """
        parent, _, base = name.rpartition("/")
        prefix = self._real_directory(parent)
        try:
            linked = S_ISLNK(os.lstat(prefix + base).st_mode)
        except OSError:
            linked = False
        path = self._check_real(prefix + base, name) if linked else prefix + base
        return LocalFile(path=path, name=name)

    def _find_real_directory(self, parent: str) -> str:
        return self._check_real(f"{self._top}/{parent}", parent).rstrip("/") + "/"

    def _check_real(self, path: str, name: str) -> str:
        real = os.path.realpath(path)
        if real != self._top and not real.startswith(self._inside):
            raise LineError("outside-root", f"{name!r} is or lies behind a link that leads out of the root")
        return real


def _check_lexically(name: str) -> None:
    if name[0] in "/\\" or _DRIVE.match(name):
        raise LineError("outside-root", f"{name!r} is an absolute path; write it relative to manifest.root")
    if ".." in name and ".." in _SEPARATORS.split(name):
        raise LineError("outside-root", f"{name!r} climbs with '..'; write it straight below manifest.root")
