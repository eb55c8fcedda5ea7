"""From a picture named in a request to what is known of it: engine work in threads, never on the event loop."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256

import anyio
import anyio.to_thread

from pipeline.service.engine.analysis import read_file
from pipeline.service.engine.pictures import WHOLE
from pipeline.service.findings import BadPicture, Crop, Engine, Findings
from pipeline.service.http.answers import Hint
from pipeline.service.http.journal import PictureSeen, measure
from pipeline.service.http.wire import ByToken, ByUrl, Source, Upload
from pipeline.service.refusals import invalid
from pipeline.service.text.reader import Reader, add_text
from pipeline.service.text.readings import Part
from pipeline.service.text.values import Text
from pipeline.service.text.workers import Unread

MAX_PICTURE_BYTES = 1_000_000
MAX_SIDE_PX = 1500
REMEMBERED_BYTES = 64 * 1024 * 1024
# Searches, headers, URLs: milliseconds each, but for the first search of all, which makes its index. Four, so that one
# of them holds up nobody.
QUICK_AT_ONCE = 4
NO_READER = Unread(reason="text recognition is switched off")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The engine's findings, and the `token` that names the picture from now on; the `data` of an upload."""

    findings: Findings
    token: str
    data: bytes | None = field(default=None, repr=False)


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
    """Asks the engine, with at most `workers` pictures at work at once, and the reader where there is one.

    Whatever decodes a picture takes its turn in `looks`, all else in `quick`: a search does not wait for a slow look.
    """

    def __init__(self, engine: Engine, workers: int, reader: Reader | None = None) -> None:
        self.engine = engine
        self._reader = reader
        self.texts = reader.store if reader is not None else None
        self._uploads = Uploads()
        self.quick = anyio.CapacityLimiter(QUICK_AT_ONCE)
        self.looks = anyio.CapacityLimiter(workers)

    async def find(self, source: Source, crop: Crop | None, site: str | None) -> Found | Hint:
        """Return what is known, or the quality hint that says why there is nothing; raises Refused."""
        if isinstance(source, Upload):
            return await self._look(source.data, crop, site)
        if isinstance(source, ByToken):
            return await self._look_up(source, crop, site)
        return await self._find_url(source, crop, site)

    async def read(self, found: Found, crop: Crop | None) -> Found:
        """Add what is written in the picture, or the reason why that can't be known; raises Refused."""
        read: Text | Unread = NO_READER
        if self._reader is not None:
            part = part_of(found.findings, crop)
            read = await self._reader.read(part, partial(_bytes_of, self.engine, found))
        return replace(found, findings=add_text(found.findings, read))

    async def measure(self, data: bytes) -> PictureSeen:
        """Describe an upload from its header."""
        return await anyio.to_thread.run_sync(measure, data, limiter=self.quick)

    async def _look(self, data: bytes, crop: Crop | None, site: str | None) -> Found | Hint:
        found = await anyio.to_thread.run_sync(
            partial(look_within_limits, self.engine, data, crop=crop, site=site), limiter=self.looks
        )
        if isinstance(found, str):
            return found
        return Found(findings=found, token=found.token or self._uploads.remember(data), data=data)

    async def _look_up(self, source: ByToken, crop: Crop | None, site: str | None) -> Found | Hint:
        if (kept := self._uploads.get(source.token)) is not None:
            return await self._look(kept, crop, site)
        ask = partial(self.engine.look_up, source.token, crop=crop, site=site)
        found = await anyio.to_thread.run_sync(ask, limiter=self.looks)
        if found is None:
            raise invalid("imageInsightsToken", source.token, "no picture of the catalogue has this token")
        return Found(findings=found, token=source.token)

    async def _find_url(self, source: ByUrl, crop: Crop | None, site: str | None) -> Found | Hint:
        """Find the catalogue's picture behind a URL; the service itself downloads nothing."""
        item = await anyio.to_thread.run_sync(self.engine.find_url, source.url, limiter=self.quick)
        if item is None or item.token is None:
            return "ImageDownloadFailed"
        return await self._look_up(ByToken(token=item.token), crop, site)


def part_of(findings: Findings, crop: Crop | None) -> Part:
    """Name what is to be read: the catalogue's own whole pictures are kept for good, of the others the newest."""
    listed = any(match.item.sha256 == findings.sha256 for match in findings.same)
    return Part(digest=findings.sha256, crop=crop or WHOLE, lasting=listed and crop in {None, WHOLE})


def _bytes_of(engine: Engine, found: Found) -> bytes:
    """Return the bytes of a picture that was looked at; raises BadPicture where the catalogue's file is gone."""
    if found.data is not None:
        return found.data
    file = engine.picture(found.token)
    if file is None:
        raise BadPicture("damaged", "no picture of the catalogue has this token")
    return read_file(file)


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
