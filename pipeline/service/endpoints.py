"""The protocol's four endpoints over one engine: read what is asked, find it, make the answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import anyio.to_thread

from pipeline.service.answers import Known, image_insights, image_knowledge, quality_hint
from pipeline.service.details import read_details
from pipeline.service.envelope import Call
from pipeline.service.findings import Findings, Item
from pipeline.service.imagesearch import Search, read_search
from pipeline.service.listings import images, trending_images
from pipeline.service.lookup import Found, Lookup
from pipeline.service.objects import Json, Links
from pipeline.service.querylog import QueryLog
from pipeline.service.rules import DETAILS_ONLY, SEARCH_ONLY, exclude
from pipeline.service.thumbnails import make_thumbnail
from pipeline.service.visualsearch import read_visual_search
from pipeline.service.wire import Source, Upload
from pipeline.service.words import Hits, WordIndex

# So many look-alikes count beside the same pictures when searches made by others are looked up.
NEAREST = 3
T = TypeVar("T")


class Endpoints:
    """What each endpoint does with a call; CPU-bound work and SQLite go to threads."""

    def __init__(self, lookup: Lookup, log: QueryLog, links: Links) -> None:
        self._lookup = lookup
        self._words = WordIndex(lookup.engine)
        self._log = log
        self._links = links

    async def visual_search(self, call: Call) -> Json:
        """POST /images/visualsearch."""
        exclude(call.query, (*SEARCH_ONLY, *DETAILS_ONLY), "/images/visualsearch")
        asked = read_visual_search(call.request.headers.get("Content-Type", ""), call.body)
        await self._measure(call, asked.source)
        found = await self._lookup.find(asked.source, asked.crop, asked.site)
        if not isinstance(found, Found):
            return quality_hint("ImageKnowledge", found)
        return image_knowledge(await self._known(found), asked)

    async def details(self, call: Call) -> Json:
        """GET and POST /images/details."""
        content_type = call.request.headers.get("Content-Type", "")
        asked = read_details(call.query, content_type, call.body)
        await self._measure(call, asked.source)
        found = await self._lookup.find(asked.source, asked.crop, None)
        if not isinstance(found, Found):
            return quality_hint("ImageInsights", found)
        return image_insights(await self._known(found), asked)

    async def search(self, call: Call) -> Json:
        """GET /images/search."""
        asked = read_search(call.query)
        hits = await self._in_thread(partial(_search, self._words, self._log, asked))
        return images(hits, asked, self._links)

    async def trending(self, call: Call) -> Json:
        """GET /images/trending."""
        exclude(call.query, (*SEARCH_ONLY, *DETAILS_ONLY, "q", "offset", "id"), "/images/trending")
        searches = await self._in_thread(partial(_trending, self._words, self._log))
        return trending_images(searches, self._links)

    async def thumbnail(self, token: str) -> bytes | None:
        """GET /thumbnails/<token>."""
        return await self._in_thread(partial(make_thumbnail, self._lookup.engine, token))

    async def _measure(self, call: Call, source: Source) -> None:
        if isinstance(source, Upload):
            call.picture = await self._lookup.measure(source.data)

    async def _known(self, found: Found) -> Known:
        related = await self._in_thread(partial(_related, self._log, found.findings))
        return Known(findings=found.findings, token=found.token, bytes=found.bytes, related=related, links=self._links)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, limiter=self._lookup.limiter)


def _search(words: WordIndex, log: QueryLog, asked: Search) -> Hits:
    hits = words.search(asked)
    if hits.items and not asked.page.offset:
        log.record(asked.query, [item.id for item in hits.items])
    return hits


def _trending(words: WordIndex, log: QueryLog) -> list[tuple[str, Item]]:
    return [(text, item) for text, row in log.trending() for item in words.items([row])]


def _related(log: QueryLog, findings: Findings) -> tuple[str, ...]:
    return log.related([match.item.id for match in (*findings.same, *findings.alike[:NEAREST])])
