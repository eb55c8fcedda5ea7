"""Paths as clients write them: in any case, with doubled slashes, and with HEAD."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.service.serving import Served


@pytest.mark.parametrize(
    "path", ["/V7.0/Images/Search", "//v7.0/images/search", "/v7.0//images///search/", "/BING/v7.0/images/SEARCH"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_paths_are_accepted_as_clients_write_them(served: Served, path: str, method: str) -> None:
    """Case, doubled slashes and HEAD are what base URLs and tools make of a path; a HEAD gets no body."""
    head = f"{method} {path}?q=mug HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    status, body = served.send_bytes(head.encode())
    assert (status, bool(body)) == (200, method == "GET")


@pytest.mark.parametrize("path", ["/healthz", "/"])
def test_head_is_accepted_outside_the_api(served: Served, path: str) -> None:
    """Health checks of load balancers use it."""
    assert served.send_bytes(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()) == (
        200,
        b"",
    )


def test_a_head_request_is_no_way_around_a_post(served: Served) -> None:
    """An endpoint without GET has no HEAD either."""
    reply = served.send("HEAD", "/v7.0/images/visualsearch")
    assert (reply.status, reply.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "path", ["/v7.0/images", "/v7.0/images/searches", "/v7.0/images/search/x", "/v8.0/images/search"]
)
def test_other_paths_are_unknown(served: Served, path: str) -> None:
    """Leniency does not reach other paths."""
    assert served.send("GET", f"{path}?q=mug").status == 404
