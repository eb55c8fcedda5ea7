"""A service without keys answers requests for this machine only, and none from a page of another host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from pipeline.service.access.authenticator import Allowance, ApiKey

if TYPE_CHECKING:
    from tests.service.serving import FixedEngine, Served

Start = Callable[..., "Served"]
SEARCH = "/v7.0/images/search?q=mug"
BASE = "https://insights.example/at/"


@pytest.mark.parametrize("path", [SEARCH, "/", "/healthz", "/thumbnails/own_1", "/nowhere"])
def test_a_foreign_name_for_this_machine_is_refused(engine: FixedEngine, start: Start, path: str) -> None:
    """A page whose own name resolves to this machine (DNS rebinding) can read nothing, on any path."""
    reply = start(engine).send("GET", path, Host="rebound.example:8077")
    assert (reply.status, reply.error["parameter"]) == (421, "Host")
    assert reply.error["value"] == "rebound.example:8077"


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:8077", "[::1]", "[::1]:8077", "insights.example:443"]
)
def test_its_own_names_are_accepted(engine: FixedEngine, start: Start, host: str) -> None:
    """The Host may be any name of this machine, with any port, or the host of base_url."""
    assert start(engine, base_url=BASE).send("GET", SEARCH, Host=host).status == 200


@pytest.mark.parametrize("host", ["", "localhost.example", "[::1", "10.0.0.1", "0.0.0.0", "127.0.0.1@a.example", "a:b"])
def test_a_name_that_is_almost_its_own_is_refused(engine: FixedEngine, start: Start, host: str) -> None:
    """A host that only looks like this machine is refused, and so is one that can't be parsed."""
    assert start(engine, base_url=BASE).send("GET", SEARCH, Host=host).status in {400, 421}


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://shop.example", 403),
        ("null", 200),
        ("http://localhost:3000", 200),
        ("http://127.0.0.1:8077", 200),
        ("https://insights.example", 200),
    ],
)
def test_the_form_of_a_foreign_page_is_refused(
    engine: FixedEngine, start: Start, picture: bytes, origin: str, status: int
) -> None:
    """Browsers let a page post a form to any address; such a request costs no work and no quota."""
    served = start(engine, base_url=BASE)
    assert served.visual_search(picture=picture, Origin=origin).status == status
    assert bool(engine.requests) == (status == 200)


@pytest.mark.parametrize(
    ("site", "origin", "status"),
    [
        ("cross-site", "", 403),
        ("cross-site", "null", 403),
        ("same-origin", "null", 200),
        ("same-site", "", 200),
        ("none", "", 200),
    ],
)
def test_a_request_of_another_site_costs_nothing(
    engine: FixedEngine, start: Start, site: str, origin: str, status: int
) -> None:
    """A page can load an address as a picture, without an Origin: it fills no query log and uses no quota."""
    served = start(engine, allowance=Allowance(per_month=1))
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors", **({"Origin": origin} if origin else {})}
    assert served.send_exactly("GET", SEARCH, b"", headers).status == status
    trending = served.send("GET", "/v7.0/images/trending")
    assert (trending.status == 200 and trending.json["categories"] == []) == (status == 403)


@pytest.mark.parametrize(("path", "status"), [("/", 200), (SEARCH, 403), ("/thumbnails/own_1", 403)])
def test_a_link_on_another_site_opens_the_explorer_only(
    engine: FixedEngine, start: Start, path: str, status: int
) -> None:
    """A click on a link shows the page; an address of the API is not opened that way."""
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert start(engine).send_exactly("GET", path, b"", headers).status == status


def test_no_response_is_for_other_sites(engine: FixedEngine, start: Start, picture: bytes, tmp_path: Path) -> None:
    """Browsers keep each response from other sites; with keys, the callers' own pages may show thumbnails."""
    engine.files["own_1"] = tmp_path / "mug.png"
    engine.files["own_1"].write_bytes(picture)
    for keys, policy in (((), "same-origin"), ((ApiKey(secret=SecretStr("k")),), "cross-origin")):
        served = start(engine, keys=keys)
        assert served.send("GET", "/thumbnails/own_1").headers["cross-origin-resource-policy"] == policy
        for path in (SEARCH, "/", "/healthz", "/nowhere"):
            headers = served.send("GET", path).headers
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert headers["x-content-type-options"] == "nosniff"


def test_with_keys_every_name_is_accepted(engine: FixedEngine, start: Start) -> None:
    """A foreign page does not have the key, so the name does not matter."""
    served = start(engine, keys=(ApiKey(secret=SecretStr("k")),))
    named = {"Host": "any.example", "Origin": "https://any.example", "Ocp-Apim-Subscription-Key": "k"}
    assert served.send_exactly("GET", SEARCH, b"", named).status == 200
