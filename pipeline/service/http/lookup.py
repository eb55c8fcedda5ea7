"""Looks up the picture that a request names and returns the findings about it; the work runs in threads."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from typing import Self, TypeVar

import anyio
import anyio.to_thread

from pipeline.service.access.fair_queue import FairQueue
from pipeline.service.engine.decoders import DecodersClosed
from pipeline.service.engine.pictures import WHOLE
from pipeline.service.findings import BadPicture, Crop, Engine, Findings
from pipeline.service.http.call import Call
from pipeline.service.http.insight_responses import QualityHint
from pipeline.service.http.journal import UploadInfo
from pipeline.service.http.picture_downloads import PictureDownloads
from pipeline.service.http.picture_source import ByToken, ByUrl, PictureSource, Upload
from pipeline.service.http.thumbnail_size import ThumbnailSize
from pipeline.service.http.upload_store import UploadStore
from pipeline.service.refusals import invalid, temporary_failure
from pipeline.service.text.read_queue import PicturePart
from pipeline.service.text.reader import TextReader, add_text
from pipeline.service.text.recognised_text import RecognisedText
from pipeline.service.text.workers import ReadFailure

MAX_PICTURE_BYTES = 1_000_000
MAX_SIDE_PX = 1500
MAX_REFUSALS_KEPT = 10_000
# Retry-After in seconds, for another start of the service.
RETRY_AFTER_STOP = 5
# Searches, forms and URLs take milliseconds each, except for the first search, which builds its index; with four
# threads it blocks no other request.
QUICK_THREADS = 4
NO_READER = ReadFailure(reason="text recognition is switched off")
NO_DOWNLOADS = QualityHint(
    category="ImageDownloadFailed",
    details="the catalogue does not have this URL, and service.fetch_urls is false: no picture is loaded from the web",
)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupResult:
    """The findings about a picture, the `token` that names it from now on, and the `data` of an upload."""

    findings: Findings
    token: str
    data: bytes | None = field(default=None, repr=False)


class DangerousPictures:
    """The digests of the last pictures that ended a process, and why: nobody gets to try one again."""

    def __init__(self) -> None:
        self._reasons: OrderedDict[str, BadPicture] = OrderedDict()

    def check(self, digest: str) -> None:
        """Raise BadPicture if a picture is one of them."""
        if (reason := self._reasons.get(digest)) is not None:
            raise BadPicture(reason.code, str(reason))

    def add(self, digest: str, reason: BadPicture) -> None:
        """Remember a picture."""
        self._reasons[digest] = reason
        if len(self._reasons) > MAX_REFUSALS_KEPT:
            self._reasons.popitem(last=False)


class Lookup:
    """Calls the engine, for at most `workers` pictures at a time, and the text reader, if there is one.

    With `downloads`, pictures behind URLs that the catalogue doesn't have are loaded.

    Work that decodes a picture waits for its turn in a queue that is fair to all callers. All other work uses the
    limiter `quick`, so that a search does not wait for a picture.
    """

    def __init__(
        self,
        engine: Engine,
        workers: int,
        uploads: UploadStore,
        reader: TextReader | None = None,
        downloads: PictureDownloads | None = None,
    ) -> None:
        self.engine = engine
        self._reader = reader
        self._downloads = downloads
        self.texts = reader.store if reader is not None else None
        self._uploads = uploads
        self._dangerous = DangerousPictures()
        self.quick = anyio.CapacityLimiter(QUICK_THREADS)
        self._decoding = FairQueue(workers)
        self._threads = anyio.CapacityLimiter(workers)

    def with_engine(self, engine: Engine) -> Self:
        """Return a lookup over another engine, with the same uploads and the same limits."""
        other = copy(self)
        other.engine = engine
        return other

    async def find(
        self, call: Call, source: PictureSource, crop: Crop | None, site: str | None
    ) -> LookupResult | QualityHint:
        """Return the findings about a picture, or the quality hint that says why there are none; raises Refused."""
        if isinstance(source, Upload):
            return await self._inspect(call, source.data, crop, site)
        if isinstance(source, ByToken):
            return await self._inspect_token(call, source, crop, site)
        return await self._find_by_url(call, source, crop, site)

    async def read_text(self, call: Call, result: LookupResult, crop: Crop | None) -> LookupResult:
        """Add the text of the picture, or the reason why it is unavailable; raises Refused."""
        text: RecognisedText | ReadFailure = NO_READER
        if self._reader is not None:
            part = part_to_read(result.findings, crop)
            text = await self._reader.read(part, partial(_read_bytes, self.engine, result), call.caller)
        return replace(result, findings=add_text(result.findings, text))

    async def thumbnail(self, caller: str, token: str, size: ThumbnailSize) -> bytes | None:
        """Return a small copy of a picture of the catalogue or of an upload that is kept; None if there is none."""
        try:
            return await self._in_turn(caller, partial(self._make_thumbnail, token, size))
        except BadPicture:
            return None

    def _make_thumbnail(self, token: str, size: ThumbnailSize) -> bytes:
        picture = self._uploads.get(token) or self.engine.read_picture(token)
        return self.engine.thumbnail(picture, size.width, size.height, fills=size.fills)

    async def _inspect(
        self, call: Call, data: bytes, crop: Crop | None, site: str | None
    ) -> LookupResult | QualityHint:
        digest = await self._quickly(partial(_digest, data))
        call.picture = UploadInfo(bytes=len(data), sha256=digest)
        if len(data) > MAX_PICTURE_BYTES:
            return QualityHint(category="ImageByteSizeExceedsLimit")
        try:
            self._dangerous.check(digest)
            inspect = partial(self.engine.inspect, data, crop=crop, site=site, max_side_px=MAX_SIDE_PX)
            findings = await self._in_turn(call.caller, inspect)
        except BadPicture as exc:
            if exc.code in {"too-slow", "decoder-died"}:
                self._dangerous.add(digest, exc)
            return _hint(exc)
        size = {"width": findings.width, "height": findings.height}
        call.picture = UploadInfo(bytes=len(data), sha256=digest, format=findings.format, **size)
        token = findings.token
        if token is None:
            token = await self._quickly(partial(self._uploads.add, data, digest))
        return LookupResult(findings=findings, token=token, data=data)

    async def _inspect_token(
        self, call: Call, source: ByToken, crop: Crop | None, site: str | None
    ) -> LookupResult | QualityHint:
        if (upload := await self._quickly(partial(self._uploads.get, source.token))) is not None:
            return await self._inspect(call, upload, crop, site)
        inspect = partial(self.engine.inspect_token, source.token, crop=crop, site=site)
        try:
            findings = await self._in_turn(call.caller, inspect)
        except BadPicture as exc:
            return _hint(exc)
        if findings is None:
            raise invalid("imageInsightsToken", source.token, "no picture of the catalogue has this token")
        return LookupResult(findings=findings, token=source.token)

    async def _find_by_url(
        self, call: Call, source: ByUrl, crop: Crop | None, site: str | None
    ) -> LookupResult | QualityHint:
        """Find the catalogue's picture with a URL; load one that the catalogue doesn't have, if that is allowed."""
        item = await self._quickly(partial(self.engine.find_by_url, source.url))
        if item is not None and item.token is not None:
            return await self._inspect_token(call, ByToken(token=item.token), crop, site)
        if self._downloads is None:
            return NO_DOWNLOADS
        picture = await self._downloads.load(call.caller, source.url)
        return picture if isinstance(picture, QualityHint) else await self._inspect(call, picture, crop, site)

    async def _quickly(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, limiter=self.quick)

    async def _in_turn(self, caller: str, work: Callable[[], T]) -> T:
        """Do work that decodes a picture when its caller's turn comes; the slot is kept until the work has ended."""
        async with self._decoding.slot(caller):
            try:
                return await anyio.to_thread.run_sync(work, limiter=self._threads)
            except DecodersClosed as exc:
                raise temporary_failure(RETRY_AFTER_STOP, str(exc)) from exc


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def _hint(problem: BadPicture) -> QualityHint:
    """Return the hint for a bad picture; raises Refused for one that is dangerous."""
    if problem.code in {"too-slow", "decoder-died"}:
        raise invalid("image", "(the picture)", f"can't be decoded: {problem}")
    if problem.code == "too-many-pixels":
        return QualityHint(category="ImageDimensionsExceedLimit", details=str(problem))
    damage = "the picture is damaged: " if problem.code == "damaged" else ""
    return QualityHint(category="UnknownFormat", details=f"{damage}{problem}")


def part_to_read(findings: Findings, crop: Crop | None) -> PicturePart:
    """Return the part whose text is read; only whole pictures of the catalogue are stored for good."""
    in_catalogue = any(match.item.sha256 == findings.sha256 for match in findings.same)
    return PicturePart(sha256=findings.sha256, crop=crop or WHOLE, permanent=in_catalogue and crop in {None, WHOLE})


def _read_bytes(engine: Engine, result: LookupResult) -> bytes:
    """Return the bytes of a picture that was looked up; raises BadPicture if the catalogue's file is gone."""
    return result.data if result.data is not None else engine.read_picture(result.token)
