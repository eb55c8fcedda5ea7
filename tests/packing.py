"""Archives of files that tests make up."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

Files = Mapping[str, bytes]


def write_zip(path: Path, files: Files, method: int = zipfile.ZIP_DEFLATED) -> None:
    """Write a .zip file."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def write_tar(path: Path, files: Files, mode: str = "w") -> None:
    """Write a .tar file, compressed as the mode says."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload] # the mode is one that it takes
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
