"""Image Search requests become values, or are refused with the parameter of the rule they break."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipeline.service.http.search_request import read_search_request
from pipeline.service.refusals import Refused
from pipeline.service.search.expression import parse
from pipeline.service.search.query import NumberRange, PageRange


def test_a_search_with_every_supported_filter() -> None:
    """Numbers become ranges, All has no effect, and the last day of a range is meant as a whole."""
    search = read_search_request(
        {
            "q": "blue mug site:Shop.example",
            "width": "300",
            "minHeight": "100",
            "maxFileSize": "9000000",
            "size": "large",
            "aspect": "All",
            "color": "blue",
            "imageType": "Shopping",
            "freshness": "2026-01-01..2026-06-30",
            "count": "10",
            "offset": "20",
        }
    )
    filters = search.filters
    assert (search.expression, search.page) == (parse("blue mug site:shop.example"), PageRange(offset=20, count=10))
    assert (filters.width, filters.height) == (NumberRange(low=300, high=300), NumberRange(low=100))
    assert filters.bytes == NumberRange(high=520_192)
    assert (filters.size, filters.aspect, filters.color, filters.image_type) == ("Large", None, "Blue", "Shopping")
    assert (filters.since, filters.until) == (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC))


def test_types_licences_and_safe_search() -> None:
    """Image Search reference: Moderate is the default of safeSearch, and leaves out adult content like Strict."""
    filters = read_search_request({"q": "mug", "imageType": "transparent", "license": "share"}).filters
    assert (filters.image_type, filters.license, filters.without_adult) == ("Transparent", "Share", True)
    assert not read_search_request({"q": "mug", "safeSearch": "off"}).filters.without_adult
    assert read_search_request({"q": "mug", "license": "All"}) == read_search_request({"q": "mug"})


def test_shopping_is_there_in_one_market_only() -> None:
    """Image Search reference, imageType."""
    with pytest.raises(Refused) as caught:
        read_search_request({"q": "mug", "imageType": "Shopping"}, "de-DE")
    assert "en-US only; this is de-DE" in (caught.value.refusal.more_details or "")


def test_freshness_counts_in_hours() -> None:
    """Day is the last 24 hours (Image Search reference, freshness)."""
    since = read_search_request({"q": "mug", "freshness": "day"}).filters.since
    assert since is not None
    assert timedelta(hours=24) <= datetime.now(UTC) - since < timedelta(hours=24, minutes=5)


def test_an_operator_that_is_not_there_is_refused_by_name() -> None:
    """The error says which one, and which there are."""
    with pytest.raises(Refused) as caught:
        read_search_request({"q": "mug inbody:tea"})
    refusal = caught.value.refusal
    assert (refusal.status, refusal.parameter, refusal.value) == (400, "q", "mug inbody:tea")
    assert "inbody:" in (refusal.more_details or "")


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"q": "x", "offset": "9" * 5000}, "offset"),
        ({"q": "x", "minFileSize": "1_0"}, "minFileSize"),
        ({}, "q"),
        ({"q": " "}, "q"),
        ({"q": "x", "count": "151"}, "count"),
        ({"q": "x", "count": "0"}, "count"),
        ({"q": "x", "offset": "-1"}, "offset"),
        ({"q": "x", "size": "Huge"}, "size"),
        ({"q": "x", "height": "1", "minHeight": "1"}, "minHeight"),
        ({"q": "x", "width": "1", "maxWidth": "1"}, "maxWidth"),
        ({"q": "x", "freshness": "Decade"}, "freshness"),
        ({"q": "x", "freshness": "2026-02-01..2026-01-01"}, "freshness"),
        ({"q": "x", "insightsToken": "t"}, "insightsToken"),
        ({"q": "x", "imageContent": "Face"}, "imageContent"),
        ({"q": "x", "license": "Mine"}, "license"),
        ({"q": "x", "imageType": "Clipart"}, "imageType"),
    ],
    ids=[
        "offset-endless",
        "underscore",
        "no-q",
        "empty-q",
        "count-high",
        "count-low",
        "offset",
        "size",
        "height-twice",
        "width-twice",
        "freshness",
        "freshness-order",
        "details-only",
        "face",
        "license",
        "clipart",
    ],
)
def test_every_rule_of_search(query: dict[str, str], parameter: str) -> None:
    """Wrong filters are refused, and so are unsupported ones: none is ignored."""
    with pytest.raises(Refused) as caught:
        read_search_request(query)
    refusal = caught.value.refusal
    assert (refusal.status, refusal.parameter) == (400, parameter)
