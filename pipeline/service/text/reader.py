"""Reads the text of pictures, each once: from the store, or else by the workers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import anyio
import anyio.to_thread

from pipeline.service.analysis import read_file
from pipeline.service.findings import BadPicture, Crop, Engine, Findings
from pipeline.service.pictures import WHOLE
from pipeline.service.text.store import TextStore
from pipeline.service.text.uris import find_uris
from pipeline.service.text.values import Text
from pipeline.service.text.workers import Unread, Workers, missing_package

_NEEDED = 'the service reads no text without the package {}; install the extra "service"'


class Reader:
    """What reads for the service; where a package is missing it says so for every picture."""

    def __init__(self, store: TextStore, workers: Workers | None = None) -> None:
        self.store = store
        self.workers = workers or Workers(os.cpu_count() or 1)
        self._ahead = anyio.CancelScope()
        missing = missing_package()
        self.missing = Unread(reason=_NEEDED.format(missing)) if missing is not None else None

    async def read(
        self, digest: str, crop: Crop | None, open_bytes: Callable[[], bytes], *, shield: bool = True
    ) -> Text | Unread:
        """Return the text of a part of the picture whose SHA-256 is `digest`; only what was read is kept.

        `open_bytes` returns the picture or raises BadPicture; it is called, in a thread, if it must be read. What has
        been begun is finished even for a caller that goes away, unless it has no `shield`.
        """
        part = crop or WHOLE
        if self.missing is not None:
            return self.missing
        if (known := await anyio.to_thread.run_sync(self.store.get, digest, part)) is not None:
            return known
        try:
            picture = await anyio.to_thread.run_sync(_check, digest, open_bytes)
        except BadPicture as exc:
            return Unread(reason=f"the text can't be read: {exc}")
        read = await self.workers.read(picture, part, shield=shield)
        if isinstance(read, Text):
            await anyio.to_thread.run_sync(self.store.put, digest, part, read)
        return read

    async def read_ahead(self, engine: Engine) -> None:
        """Read the catalogue's own pictures, one at a time and only while nobody asks; ends when all are read.

        Another call takes the place of the one before.
        """
        self._ahead.cancel()
        pictures = _unread(engine, self.store) if self.missing is None else iter(())
        with anyio.CancelScope() as self._ahead:
            while (picture := await anyio.to_thread.run_sync(next, pictures, None)) is not None:
                digest, file = picture
                await self.workers.idle()
                await self.read(digest, None, partial(read_file, file), shield=False)


def add_text(findings: Findings, read: Text | Unread) -> Findings:
    """Return findings with what is written in the picture, or with the reason why that can't be known."""
    others = tuple((kind, why) for kind, why in findings.unavailable if kind not in {"text", "uris"})
    if isinstance(read, Unread):
        return replace(findings, unavailable=(*others, ("text", read.reason), ("uris", read.reason)))
    return replace(findings, text=read, uris=find_uris(read.lines), unavailable=others)


def _check(digest: str, open_bytes: Callable[[], bytes]) -> bytes:
    picture = open_bytes()
    if sha256(picture).hexdigest() != digest:
        raise BadPicture("damaged", "the picture has changed since it was indexed")
    return picture


def _unread(engine: Engine, store: TextStore) -> Iterator[tuple[str, Path]]:
    """Yield digest and file of the catalogue's pictures that have not been read yet."""
    for item in engine.items():
        file = engine.picture(item.token) if item.token is not None else None
        if item.sha256 is not None and file is not None and store.get(item.sha256) is None:
            yield item.sha256, file
