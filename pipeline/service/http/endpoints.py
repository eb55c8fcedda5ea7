"""The protocol's four endpoints over one engine: read what is asked, find it, make the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

import anyio.to_thread

from pipeline.service.engine.knowledge import MOST_SUGGESTIONS
from pipeline.service.findings import Crop, Findings, Item
from pipeline.service.http.answers import image_insights, image_knowledge, quality_hint
from pipeline.service.http.details import read_details
from pipeline.service.http.envelope import Call
from pipeline.service.http.imagesearch import Search, read_search
from pipeline.service.http.listings import images, trending_images
from pipeline.service.http.lookup import Found, Lookup
from pipeline.service.http.members import Known
from pipeline.service.http.objects import Json, Links
from pipeline.service.http.rules import DETAILS_ONLY, SEARCH_ONLY, exclude
from pipeline.service.http.thumbnails import make_thumbnail
from pipeline.service.http.visualsearch import read_visual_search
from pipeline.service.http.wire import Source, Upload
from pipeline.service.search.query_log import QueryLog
from pipeline.service.search.words import Hits, WordIndex
from pipeline.service.text.reader import add_text
from pipeline.service.text.workers import Unread

# So many look-alikes count beside the same pictures when searches made by others are looked up.
NEAREST = 3
NO_PLACE = Unread(reason="an answer of /images/details has no place for text; /images/visualsearch tells it")
T = TypeVar("T")


class Endpoints:
    """What each endpoint does with a call; CPU-bound work and SQLite go to threads."""

    def __init__(self, lookup: Lookup, log: QueryLog, links: Links) -> None:
        self._lookup = lookup
        self._words = WordIndex(lookup.engine, lookup.texts)
        self._log = log
        self._links = links

    def load(self) -> None:
        """Make now what the first call would otherwise wait for; takes seconds for a large catalogue."""
        self._words.load()

    async def visual_search(self, call: Call) -> Json:
        """POST /images/visualsearch."""
        exclude(call.query, (*SEARCH_ONLY, *DETAILS_ONLY), "/images/visualsearch")
        asked = read_visual_search(call.request.headers.get("Content-Type", ""), call.body)
        await self._measure(call, asked.source)
        found = await self._lookup.find(asked.source, asked.crop, asked.site)
        if not isinstance(found, Found):
            return quality_hint("ImageKnowledge", found)
        if asked.skill is None:
            found = await self._read(found, asked.crop)
        return image_knowledge(await self._known(found), asked)

    async def details(self, call: Call) -> Json:
        """GET and POST /images/details."""
        content_type = call.request.headers.get("Content-Type", "")
        asked = read_details(call.query, content_type, call.body)
        await self._measure(call, asked.source)
        found = await self._lookup.find(asked.source, asked.crop, None)
        if not isinstance(found, Found):
            return quality_hint("ImageInsights", found)
        return image_insights(await self._known(replace(found, findings=add_text(found.findings, NO_PLACE))), asked)

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
        work = partial(make_thumbnail, self._lookup.engine, token)
        return await anyio.to_thread.run_sync(work, limiter=self._lookup.looks)

    async def _measure(self, call: Call, source: Source) -> None:
        if isinstance(source, Upload):
            call.picture = await self._lookup.measure(source.data)

    async def _read(self, found: Found, crop: Crop | None) -> Found:
        """Add what is written in the picture, and the titles that its words lead to."""
        found = await self._lookup.read(found, crop)
        return replace(found, findings=await self._in_thread(partial(_suggest, self._words, found.findings)))

    async def _known(self, found: Found) -> Known:
        related = await self._in_thread(partial(_related, self._log, found.findings))
        size = len(found.data) if found.data is not None else None
        return Known(findings=found.findings, token=found.token, bytes=size, related=related, links=self._links)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, limiter=self._lookup.quick)


def _search(words: WordIndex, log: QueryLog, asked: Search) -> Hits:
    hits = words.search(asked)
    if hits.items and not asked.page.offset:
        log.record(asked.query, [item.id for item in hits.items])
    return hits


def _suggest(words: WordIndex, findings: Findings) -> Findings:
    """Suggest titles of the catalogue that stand in the picture, after what was agreed on."""
    if findings.text is None or not findings.text.lines:
        return findings
    found = words.titles_in(findings.text.full)
    suggestions = [*dict.fromkeys([*findings.suggestions, *(title for title in found if title != findings.best_query)])]
    return replace(findings, suggestions=tuple(suggestions[:MOST_SUGGESTIONS]))


def _trending(words: WordIndex, log: QueryLog) -> list[tuple[str, Item]]:
    return [(text, item) for text, row in log.trending() for item in words.items([row])]


def _related(log: QueryLog, findings: Findings) -> tuple[str, ...]:
    return log.related([match.item.id for match in (*findings.same, *findings.alike[:NEAREST])])
