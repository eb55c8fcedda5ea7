"""The protocol's four endpoints over one engine: read the request, get the findings, build the response."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import anyio.to_thread

from pipeline.service.engine.derived_insights import MAX_SUGGESTIONS, labels
from pipeline.service.findings import Crop, Engine, Findings, Item
from pipeline.service.http.call import Call
from pipeline.service.http.common_parameters import DETAILS_ONLY, SEARCH_ONLY, is_safe, refuse_parameters
from pipeline.service.http.details_request import read_details_request
from pipeline.service.http.insight_responses import image_insights, image_knowledge, quality_hint
from pipeline.service.http.json_objects import Json, ServiceLinks, unavailable
from pipeline.service.http.lookup import Lookup, LookupResult
from pipeline.service.http.response_parts import ResponseData, SameRows
from pipeline.service.http.search_request import read_search_request
from pipeline.service.http.search_responses import images_response, trending_response
from pipeline.service.http.thumbnail_size import ThumbnailSize
from pipeline.service.http.visual_search_request import read_visual_search_request
from pipeline.service.search.query import PageRange, SearchQuery
from pipeline.service.search.query_log import QueryLog
from pipeline.service.search.relevance import rank_by_words
from pipeline.service.search.suggestions import suggest
from pipeline.service.search.word_index import SearchHits, WordIndex
from pipeline.service.text.reader import add_text
from pipeline.service.text.workers import ReadFailure

# The first similar pictures whose searches count as related, besides those of the same pictures.
NEAREST = 3
NO_MARKS = ("safe_search", "no row of the catalogue says in the column adult what it is, so nothing was left out")
NO_TEXT_MEMBER = ReadFailure(reason="a response of /images/details has no text; /images/visualsearch has it")
T = TypeVar("T")


class Endpoints:
    """What each endpoint does with a call; CPU-bound work and SQLite run in threads."""

    def __init__(self, lookup: Lookup, log: QueryLog, links: ServiceLinks) -> None:
        self._lookup = lookup
        self._words = WordIndex(lookup.engine, lookup.texts)
        self._log = log
        self._links = links

    def load(self) -> None:
        """Build what the first call would otherwise wait for; takes seconds for a large catalogue."""
        self._words.load()

    async def visual_search(self, call: Call) -> Json:
        """POST /images/visualsearch."""
        refuse_parameters(call.query, (*SEARCH_ONLY, *DETAILS_ONLY), "/images/visualsearch")
        content_type = call.request.headers.get("Content-Type", "")
        request = await self._in_thread(partial(read_visual_search_request, content_type, call.body))
        result = await self._lookup.find(call, request.source, request.crop, request.site)
        if not isinstance(result, LookupResult):
            return quality_hint("ImageKnowledge", result)
        result = _without_adult(result) if is_safe(call.query) else result
        if request.skill is None:
            result = await self._add_text(call, result, request.crop)
        response = image_knowledge(await self._response_data(result, request.page), request)
        return await self._with_safe_search(call, response)

    async def details(self, call: Call) -> Json:
        """GET and POST /images/details."""
        content_type = call.request.headers.get("Content-Type", "")
        request = await self._in_thread(partial(read_details_request, call.query, content_type, call.body))
        result = await self._lookup.find(call, request.source, request.crop, None)
        if not isinstance(result, LookupResult):
            return quality_hint("ImageInsights", result)
        findings = add_text(result.findings, NO_TEXT_MEMBER)
        if request.expression is not None:
            findings = await self._in_thread(partial(rank_by_words, self._words, request.expression, findings))
        result = replace(result, findings=findings)
        result = _without_adult(result) if is_safe(call.query) else result
        response = image_insights(await self._response_data(result, PageRange()), request)
        return await self._with_safe_search(call, response)

    async def search(self, call: Call) -> Json:
        """GET /images/search."""
        assert call.common is not None
        query = read_search_request(call.query, call.common.market)
        hits = await self._in_thread(partial(_search, self._words, self._log, query))
        same_rows = await self._in_thread(partial(_same_rows, self._lookup.engine, hits.items))
        suggestions = await self._in_thread(partial(suggest, self._words, self._log, query, hits))
        response = images_response(hits, query, self._links, same_rows, suggestions)
        return await self._with_safe_search(call, response)

    async def trending(self, call: Call) -> Json:
        """GET /images/trending."""
        refuse_parameters(call.query, (*SEARCH_ONLY, *DETAILS_ONLY, "q", "offset", "id"), "/images/trending")
        searches = await self._in_thread(partial(_trending, self._words, self._log))
        searches = [(text, item) for text, item in searches if not (is_safe(call.query) and item.adult)]
        shown = [item for _, item in searches]
        same_rows = await self._in_thread(partial(_same_rows, self._lookup.engine, shown))
        return await self._with_safe_search(call, trending_response(searches, self._links, same_rows))

    async def thumbnail(self, caller: str, token: str, size: ThumbnailSize) -> bytes | None:
        """GET /thumbnails/<token>."""
        return await self._lookup.thumbnail(caller, token, size)

    async def _add_text(self, call: Call, result: LookupResult, crop: Crop | None) -> LookupResult:
        """Add the text of the picture, and the titles in it as suggestions."""
        result = await self._lookup.read_text(call, result, crop)
        return replace(result, findings=await self._in_thread(partial(_suggest, self._words, result.findings)))

    async def _with_safe_search(self, call: Call, response: Json) -> Json:
        """Say that nothing was left out, where the caller asked for it and the catalogue marks no row."""
        if "safeSearch" not in call.query or not is_safe(call.query):
            return response
        if await self._in_thread(partial(self._words.knows, "adult")):
            return response
        return {**response, "unavailable": [*response.get("unavailable", []), *unavailable([NO_MARKS])]}

    async def _response_data(self, result: LookupResult, page: PageRange) -> ResponseData:
        findings = result.findings
        shown = [match.item for match in (*findings.same, *page.of(findings.similar), *page.of(findings.products))]
        related = await self._in_thread(partial(_related, self._words, self._log, findings))
        return ResponseData(
            findings=findings,
            token=result.token,
            size=len(result.data) if result.data is not None else None,
            related=tuple(related),
            links=self._links,
            same_rows=await self._in_thread(partial(_same_rows, self._lookup.engine, shown)),
            pictures=_pictures(findings) | related,
        )

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, limiter=self._lookup.quick)


def _search(words: WordIndex, log: QueryLog, query: SearchQuery) -> SearchHits:
    hits = words.search(query)
    if hits.items and not query.page.offset:
        log.record(query.text, [item.id for item in hits.items])
    return hits


def _without_adult(result: LookupResult) -> LookupResult:
    """Leave out similar pictures that the catalogue marks; the rows of the picture itself stay."""
    findings = result.findings
    similar = tuple(match for match in findings.similar if not match.item.adult)
    products = tuple(match for match in findings.products if not match.item.adult)
    return replace(result, findings=replace(findings, similar=similar, products=products))


def _same_rows(engine: Engine, items: Sequence[Item]) -> SameRows:
    """Return the rows with the same picture by the number of each of these rows."""
    different = {item.number: item for item in items}
    return dict(zip(different, engine.same_rows(list(different.values())), strict=True))


def _suggest(words: WordIndex, findings: Findings) -> Findings:
    """Add the titles of the catalogue that are written in the picture to the suggestions."""
    if findings.text is None or not findings.text.lines:
        return findings
    titles = [title for title in words.titles_in(findings.text.full) if title != findings.best_query]
    suggestions = tuple(dict.fromkeys([*findings.suggestions, *titles]))
    return replace(findings, suggestions=suggestions[:MAX_SUGGESTIONS])


def _trending(words: WordIndex, log: QueryLog) -> list[tuple[str, Item]]:
    return [(text, item) for text, row in log.trending() for item in words.items([row])]


def _related(words: WordIndex, log: QueryLog, findings: Findings) -> dict[str, str]:
    """Return the searches by others that led to these pictures, each with the token of its first result."""
    searches = log.related([match.item.id for match in (*findings.same, *findings.similar[:NEAREST])])
    return {text: item.token or "" for text, row in searches for item in words.items([row])}


def _pictures(findings: Findings) -> dict[str, str]:
    """Return, for the titles and labels of the rows that match, the token of the first picture that has each."""
    pictures: dict[str, str] = {}
    for match in (*findings.same, *findings.similar):
        for name in filter(None, (match.item.title, *labels(match.item))):
            pictures.setdefault(name, match.item.token or "")
    return pictures
