"""From a picture named in a request to what is known of it: engine work in threads, never on the event loop."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

import anyio
import anyio.to_thread

from pipeline.service.answers import Hint
from pipeline.service.findings import BadPicture, Crop, Engine, Findings
from pipeline.service.journal import PictureSeen, measure
from pipeline.service.refusals import invalid
from pipeline.service.wire import ByToken, ByUrl, Source, Upload

MAX_PICTURE_BYTES = 1_000_000
MAX_SIDE_PX = 1500
REMEMBERED_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The engine's findings, and the `token` that names the picture from now on; `bytes` of an upload."""

    findings: Findings
    token: str
    bytes: int | None = None


class Uploads:
    """The last uploaded pictures, so that the token of an answer can be asked about; the oldest go first."""

    def __init__(self, most_bytes: int = REMEMBERED_BYTES) -> None:
        self._pictures: OrderedDict[str, bytes] = OrderedDict()
        self._left = most_bytes

    def remember(self, data: bytes) -> str:
        """Keep a picture and return its token, which depends on its content alone."""
        token = f"bcid_{sha256(data).hexdigest()[:32].upper()}"
        if token not in self._pictures:
            self._left -= len(data)
        self._pictures[token] = data
        self._pictures.move_to_end(token)
        while self._left < 0:
            _, oldest = self._pictures.popitem(last=False)
            self._left += len(oldest)
        return token

    def get(self, token: str) -> bytes | None:
        """Return the picture of a token, if it is still kept."""
        return self._pictures.get(token)


class Lookup:
    """Asks the engine, with at most `workers` pictures at work at once."""

    def __init__(self, engine: Engine, workers: int) -> None:
        self.engine = engine
        self._uploads = Uploads()
        self.limiter = anyio.CapacityLimiter(workers)

    async def find(self, source: Source, crop: Crop | None, site: str | None) -> Found | Hint:
        """Return what is known, or the quality hint that says why there is nothing; raises Refused."""
        if isinstance(source, Upload):
            return await self._look(source.data, crop, site)
        if isinstance(source, ByToken):
            return await self._look_up(source, crop, site)
        return await self._find_url(source, crop, site)

    async def measure(self, data: bytes) -> PictureSeen:
        """Describe an upload from its header."""
        return await anyio.to_thread.run_sync(measure, data, limiter=self.limiter)

    async def _look(self, data: bytes, crop: Crop | None, site: str | None) -> Found | Hint:
        found = await anyio.to_thread.run_sync(
            partial(look_within_limits, self.engine, data, crop=crop, site=site), limiter=self.limiter
        )
        if isinstance(found, str):
            return found
        return Found(findings=found, token=found.token or self._uploads.remember(data), bytes=len(data))

    async def _look_up(self, source: ByToken, crop: Crop | None, site: str | None) -> Found | Hint:
        if (kept := self._uploads.get(source.token)) is not None:
            return await self._look(kept, crop, site)
        ask = partial(self.engine.look_up, source.token, crop=crop, site=site)
        found = await anyio.to_thread.run_sync(ask, limiter=self.limiter)
        if found is None:
            raise invalid("imageInsightsToken", source.token, "no picture of the catalogue has this token")
        return Found(findings=found, token=source.token)

    async def _find_url(self, source: ByUrl, crop: Crop | None, site: str | None) -> Found | Hint:
        """Find the catalogue's picture behind a URL; the service itself downloads nothing."""
        item = await anyio.to_thread.run_sync(self.engine.find_url, source.url, limiter=self.limiter)
        if item is None or item.token is None:
            return "ImageDownloadFailed"
        return await self._look_up(ByToken(token=item.token), crop, site)


def look_within_limits(
    engine: Engine, data: bytes, *, crop: Crop | None = None, site: str | None = None
) -> Findings | Hint:
    """Look at a picture that keeps the protocol's limits (reference 000: 1 MB, 1,500 px); CPU-bound."""
    if len(data) > MAX_PICTURE_BYTES:
        return "ImageByteSizeExceedsLimit"
    seen = measure(data)
    if max(seen.width or 0, seen.height or 0) > MAX_SIDE_PX:
        return "ImageDimensionsExceedLimit"
    try:
        return engine.look(data, crop=crop, site=site)
    except BadPicture as exc:
        return "ImageDimensionsExceedLimit" if exc.code == "too-many-pixels" else "UnknownFormat"
