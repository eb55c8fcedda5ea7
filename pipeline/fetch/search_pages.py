"""The pages of a search as batches of rows: asked like any other call, or read from the answers that are stored."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator

from pipeline.errors import SearchFailed
from pipeline.fetch.reading import read_outcome
from pipeline.fetch.single_flight import SingleFlight
from pipeline.manifest.search import SearchCursor
from pipeline.providers.base import AnswerReader
from pipeline.records import Answer, Failure, Page, Problem, Row
from pipeline.schema import SearchSummary


async def search_pages(
    single_flight: SingleFlight, cursor: SearchCursor, summarise: Callable[[SearchSummary], None]
) -> AsyncGenerator[list[Row | Failure], None]:
    """Yield the rows of each page; the next page is asked for when they have been taken.

    After each page, `summarise` gets what all pages so far say about the search. Raises SearchFailed where a page can't
    be had, and what Fetcher.fetch raises.
    """
    while cursor.request is not None:
        _, _, outcome = await single_flight.fetch(cursor.request)
        if isinstance(outcome, Problem):
            raise SearchFailed(f"the search that the rows come from got no answer: {outcome.message}")
        assert isinstance(outcome, Page)
        rows = cursor.take(outcome)
        summarise(cursor.summary)
        yield rows


def stored_search_pages(
    cursor: SearchCursor, provider: AnswerReader, stored: Callable[[bytes], Answer | None]
) -> Iterator[list[Row | Failure]]:
    """Yield the rows of the pages that are stored, without any call; `finding.request` is then the first that isn't."""
    while cursor.request is not None:
        answer = stored(cursor.request.fingerprint(provider.service_id))
        outcome = read_outcome(provider, cursor.request, answer) if answer else None
        if not isinstance(outcome, Page):
            return
        yield cursor.take(outcome)
