"""What a service gives its client to keep: X-MSEdge-ClientID, sent from the first answer on, on later nights too."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

CLIENT_ID: Final = "X-MSEdge-ClientID"  # reference 004: one user, one id for each request, persisted
_ID: Final = re.compile(r"[!-~]{1,200}")


class ClientState:
    """One user's conversation with the service `identity`; with a `folder` it is kept from run to run.

    The id is told apart by the service alone: it must not lead to an account (reference 004). A file that can't be read
    or written costs no more than the id: the service then gives a new one.
    """

    def __init__(self, identity: str = "", folder: Path | None = None) -> None:
        self.headers: dict[str, str] = {}
        self._path = folder / sha256(identity.encode()).hexdigest()[:32] if folder else None
        if self._path is not None:
            with suppress(OSError, UnicodeDecodeError):
                self._take(self._path.read_text("ascii"))

    def remember(self, headers: Mapping[str, str]) -> None:
        """Keep the id of an answer, whose `headers` have lower-case names, unless there is one already."""
        if not self.headers and self._take(headers.get(CLIENT_ID.lower(), "")) and self._path is not None:
            with suppress(OSError):
                _write(self._path, self.headers[CLIENT_ID])

    def _take(self, value: str) -> bool:
        if _ID.fullmatch(value):
            self.headers[CLIENT_ID] = value
        return bool(self.headers)


def _write(path: Path, value: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(value, "ascii")
    temporary.replace(path)
