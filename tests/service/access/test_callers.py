"""Whom a service without keys answers: this machine by its own names, and no page of another host."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from pipeline.service.access.limits import ApiKey

if TYPE_CHECKING:
    from tests.service.http.conftest import PaperEngine, Served

Start = Callable[..., "Served"]
SEARCH = "/v7.0/images/search?q=mug"
BASE = "https://insights.example/at/"


@pytest.mark.parametrize("path", [SEARCH, "/", "/healthz", "/thumbnails/own_1", "/nowhere"])
def test_a_name_that_was_made_to_stand_for_this_machine(engine: PaperEngine, start: Start, path: str) -> None:
    """A page whose own name leads here (DNS rebinding) reads nothing, wherever it looks."""
    reply = start(engine).send("GET", path, Host="rebound.example:8077")
    assert (reply.status, reply.error["parameter"]) == (421, "Host")
    assert reply.error["value"] == "rebound.example:8077"


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:8077", "[::1]", "[::1]:8077", "insights.example:443"]
)
def test_its_own_names_are_answered(engine: PaperEngine, start: Start, host: str) -> None:
    """It is asked by any name of this machine, with any port, or by the host of base_url."""
    assert start(engine, base_url=BASE).send("GET", SEARCH, Host=host).status == 200


@pytest.mark.parametrize("host", ["", "localhost.example", "[::1", "10.0.0.1", "0.0.0.0", "127.0.0.1@a.example", "a:b"])
def test_what_is_nearly_one_of_its_names(engine: PaperEngine, start: Start, host: str) -> None:
    """A host that only looks like this machine is none, and what can't be read is none either."""
    assert start(engine, base_url=BASE).send("GET", SEARCH, Host=host).status in {400, 421}


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://shop.example", 403),
        ("null", 403),
        ("http://localhost:3000", 200),
        ("http://127.0.0.1:8077", 200),
        ("https://insights.example", 200),
    ],
)
def test_a_form_of_another_page(engine: PaperEngine, start: Start, picture: bytes, origin: str, status: int) -> None:
    """A page may post a form to any address without asking: such a one costs no work and no quota."""
    served = start(engine, base_url=BASE)
    assert served.ask(picture=picture, Origin=origin).status == status
    assert bool(engine.asked) == (status == 200)


def test_with_keys_every_name_will_do(engine: PaperEngine, start: Start) -> None:
    """A page doesn't have the key; who has it may call the service what they like."""
    served = start(engine, keys=(ApiKey(secret=SecretStr("k")),))
    named = {"Host": "any.example", "Origin": "https://any.example", "Ocp-Apim-Subscription-Key": "k"}
    assert served.send_exactly("GET", SEARCH, b"", named).status == 200
