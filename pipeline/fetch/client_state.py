"""What a service gives its client to keep: an id that is sent back from the first answer on, on later nights too."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

from pipeline.errors import OutputError, SourceError
from pipeline.guards.confined_files import read_beneath
from pipeline.guards.private_files import make_private_folder, open_private
from pipeline.records import Problem

_ID: Final = re.compile(r"[!-~]{1,200}")
_MOST_BYTES: Final = 1000


class ClientState:
    """The id that the service `service_id` gives its client in `header`; with a `folder` it outlives the run.

    The file is named by the service alone, so that it leads to no account. A file that can't be read or written costs
    no more than the id: the service then gives a new one. Without a `header` there is nothing to keep.
    """

    def __init__(self, service_id: str = "", header: str | None = None, folder: Path | None = None) -> None:
        self.headers: dict[str, str] = {}
        self._header = header
        self._path = folder / sha256(service_id.encode()).hexdigest()[:32] if folder and header else None
        if self._path is not None:
            with suppress(SourceError, UnicodeDecodeError):
                self._take(read_beneath(self._path.parent, self._path.name, _MOST_BYTES).decode("ascii"))

    def remember(self, headers: Mapping[str, str]) -> None:
        """Keep the id of an answer, unless there is one already; `headers` are looked up in lower case."""
        if self._header is None or self.headers:
            return
        if self._take(headers.get(self._header.lower(), "")) and self._path is not None:
            with suppress(OSError, OutputError):
                _write(self._path, self.headers[self._header])

    def forget(self) -> None:
        """Drop the id that the service refuses; the next answer brings another one."""
        self.headers.clear()
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def is_named_by(self, problem: Problem) -> bool:
        """Return True if a problem says that the id itself is refused."""
        return self._header is not None and problem.details.get("parameter", "").lower() == self._header.lower()

    def _take(self, value: str) -> bool:
        if self._header is not None and _ID.fullmatch(value):
            self.headers[self._header] = value
        return bool(self.headers)


def _write(path: Path, value: str) -> None:
    make_private_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open_private(temporary, "wb") as file:
        file.write(value.encode("ascii"))
    temporary.replace(path)
