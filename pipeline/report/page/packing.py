"""Packs values for the page: JSON, compressed in pieces that the browser unpacks one by one when it needs them."""

from __future__ import annotations

import zlib
from base64 import b64encode
from typing import Any

import orjson

_LEVEL = 6


class Pack:
    """Values in pieces of `per_piece`, each a text of base64; `size` are the bytes of the finished pieces.

    What is added after `most_bytes` are reached is left out: `add` returns False then.
    """

    def __init__(self, per_piece: int, most_bytes: int) -> None:
        self.pieces: list[bytes] = []
        self.size = 0
        self.count = 0
        self._waiting: list[bytes] = []
        self._per_piece = per_piece
        self._most_bytes = most_bytes

    def add(self, value: Any) -> bool:
        """Add a value, if there is room for it."""
        if self.size >= self._most_bytes:
            return False
        self._waiting.append(orjson.dumps(value))
        self.count += 1
        if len(self._waiting) == self._per_piece:
            self.finish()
        return True

    def finish(self) -> None:
        """Pack what is waiting."""
        if self._waiting:
            piece = b64encode(zlib.compress(b"[" + b",".join(self._waiting) + b"]", _LEVEL))
            self.size += len(piece)
            self.pieces.append(piece)
            self._waiting = []


def script_json(value: object) -> str:
    """Return a value as JSON inside a <script>: no text in it can end that element or begin another."""
    return orjson.dumps(value).decode().replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
