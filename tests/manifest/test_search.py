"""The images of a search as rows: how pages follow each other, and what each row says."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import ManifestConfig, SearchSettings
from pipeline.errors import ConfigError, RequestError, SearchFailed
from pipeline.manifest.search import SearchCursor
from pipeline.records import Failure, InsightsToken, Page, RemoteUrl, Request, Row, SearchHit


class Paper:
    """Builds requests that say what they ask for; no request is possible beyond `last` images."""

    def __init__(self, last: int = 100_000) -> None:
        self.last = last

    def search(self, search: SearchSettings, offset: int, have: int = 0) -> Request:
        if search.q == "forbidden" or offset > self.last:
            raise RequestError("query-too-long", "the query is too long")
        return Request(method="GET", target=f"/search?q={search.q}&offset={offset}&have={have}", form="url")

    def trending(self) -> Request:
        return Request(method="GET", target="/trending", form="url")


def cursor(**search: Any) -> SearchCursor:
    if not search:
        return SearchCursor(Paper(), ManifestConfig(trending=True))
    return SearchCursor(Paper(), ManifestConfig(search=SearchSettings(**search)))


def hit(image_id: str, **more: Any) -> SearchHit:
    """Return an image with everything that its id allows."""
    values = {"token": f"t-{image_id}", "content_url": f"https://x.example/{image_id}.jpg"} if image_id else {}
    nothing = {"token": "", "content_url": "", "name": "", "host_page_url": ""}
    return SearchHit(id=image_id, image={}, **{**nothing, **values, **more})


def asked(cursor: SearchCursor) -> dict[str, str]:
    assert cursor.request
    return dict(parse_qsl(cursor.request.target.partition("?")[2]))


PAGES = st.lists(
    st.tuples(st.lists(st.sampled_from(["", *"abcdefgh"]), max_size=6), st.none() | st.integers(-5, 70_000)), max_size=9
)


@given(PAGES, st.integers(1, 7), st.integers(0, 9))
def test_any_pages_end_without_a_repeated_row(pages: list[Any], count: int, offset: int) -> None:
    """Whatever a service answers: no id twice, no more rows than asked for, numbered on, and offsets its own."""
    search = cursor(q="x", count=count, offset=offset)
    rows: list[Row | Failure] = []
    for names, after in pages:
        if search.request is None:
            break
        assert asked(search) == {"q": "x", "offset": str(offset), "have": str(len(rows))}
        new = search.take(Page(images=tuple(hit(name) for name in names), next_offset=after))
        rows += new
        assert (search.request is None) == (not new or len(rows) == count or after is None or not 0 <= after <= 65_535)
        offset = after
    ids = [row.id for row in rows if isinstance(row, Row)]
    assert len(ids) == len(set(ids))
    assert len(rows) <= count
    assert [(row.ordinal, row.line) for row in rows] == [(n, n + 1) for n in range(len(rows))]


def test_a_row_says_where_it_is_from() -> None:
    """By its token where there is one, else by its URL; empty values are not carried; the query goes along."""
    image = hit("a", name="A", host_page_url="https://x.example/")
    first, second = cursor(q="red fox").take(Page(images=(image, hit("b", token=""))))
    assert isinstance(first, Row)
    assert (first.image, first.query) == (InsightsToken(token="t-a"), "red fox")
    assert first.carry == {
        "name": "A",
        "host_page_url": "https://x.example/",
        "content_url": "https://x.example/a.jpg",
        "query": "red fox",
    }
    assert isinstance(second, Row)
    assert second.image == RemoteUrl(url="https://x.example/b.jpg")


def test_trending_is_one_page() -> None:
    """Every image of it, with its category and the query that is trending."""
    trending = cursor()
    assert trending.request
    assert trending.request.target == "/trending"
    query: Any = {"text": "foxes"}
    (row,) = trending.take(Page(images=(hit("a", category="Animals", query=query),), next_offset=5))
    assert isinstance(row, Row)
    assert (row.query, row.carry["category"], row.carry["query"]) == ("foxes", "Animals", "foxes")
    assert trending.request is None


@pytest.mark.parametrize("url", ["", "ftp://x.example/a.jpg", "/etc/passwd", "a.jpg", "file:///a.jpg", "token:x"])
def test_no_file_of_this_machine_is_named_by_a_service(url: str) -> None:
    """Only web addresses are followed."""
    (failure,) = cursor(q="x").take(Page(images=(hit("a", token="", content_url=url),)))
    assert isinstance(failure, Failure)
    assert (failure.code, failure.stage, failure.line) == ("missing-image", "manifest", 1)


def test_a_search_against_the_rules_is_told_at_once() -> None:
    """Nothing has been asked then."""
    with pytest.raises(ConfigError, match="too long"):
        cursor(q="forbidden")


def test_a_next_page_that_cannot_be_requested_ends_the_run() -> None:
    """Calls were made by then, so it is no mistake of usage any more."""
    search = SearchCursor(Paper(last=5), ManifestConfig(search=SearchSettings(q="x")))
    with pytest.raises(SearchFailed, match="too long"):
        search.take(Page(images=(hit("a"),), next_offset=6))
