"""The names of the published protocol are exactly those of its documents."""

from __future__ import annotations

from pipeline.service.http.wire_names import HEADERS, PATH_PREFIXES


def test_the_names_are_those_of_the_protocol() -> None:
    """Clients depend on these names, character by character."""
    assert (HEADERS.trace_id, HEADERS.market) == ("BingAPIs-TraceId", "BingAPIs-Market")
    assert (HEADERS.key, HEADERS.client_id) == ("Ocp-Apim-Subscription-Key", "X-MSEdge-ClientID")
    assert HEADERS.location == "X-Search-Location"
    assert PATH_PREFIXES == ("/v7.0", "/bing/v7.0", "/api/v7")
