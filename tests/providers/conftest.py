"""Providers, rows and responses for the tests; answers/ has handwritten responses with every documented object."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from pipeline.providers import PROVIDERS
from pipeline.providers.bing.provider import Bing
from pipeline.records import Answer, Crop, InsightsToken, Prepared, RemoteUrl, Request, Row, SourceFacts

ANSWERS = Path(__file__).parent / "answers"


@pytest.fixture(scope="session")
def make() -> Callable[..., Bing]:
    """Return a function that makes a provider from keys of the [provider] table."""

    def make_one(name: str = "bing", endpoint: str = "", **keys: Any) -> Bing:
        kind = PROVIDERS[name]
        provider = kind.make(kind.settings(name=name, **keys), endpoint)
        assert isinstance(provider, Bing)
        return provider

    return make_one


@pytest.fixture(scope="session")
def row() -> Callable[..., Row]:
    """Return a function that makes a row, by default one with an insights token."""

    def make_one(url: str = "", token: str = "ccid_1*mid_2!/+\\._", **fields: Any) -> Row:
        image = RemoteUrl(url=url) if url else InsightsToken(token=token)
        return Row(id="1", image=image, ordinal=0, line=1, **fields)

    return make_one


@pytest.fixture(scope="session")
def prepared() -> Callable[[bytes], Prepared]:
    """Return a function that makes a prepared picture."""

    def make_one(data: bytes = b"\xff\xd8picture") -> Prepared:
        facts = SourceFacts(sha256="", width=2, height=1, bytes=len(data), format="jpeg")
        return Prepared(
            source=facts, data=data, action="passed", width=2, height=1, format="jpeg", media_type="image/jpeg"
        )

    return make_one


@pytest.fixture(scope="session")
def request_for() -> Callable[..., Request]:
    """Return a function that makes the request of a response."""

    def make_one(target: str = "/images/visualsearch?mkt=en-US", crop: Crop | None = None) -> Request:
        return Request(method="POST", target=target, form="token", crop=crop)

    return make_one


@pytest.fixture(scope="session")
def answer() -> Callable[..., Answer]:
    """Return a function that makes a response; a body that is not bytes is written as JSON."""

    def make_one(body: Any = b"", status: int = 200, **headers: str) -> Answer:
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return Answer(status=status, headers=names, body=data, asked_at=1_760_000_000.0)

    return make_one


@pytest.fixture(scope="session")
def own() -> Callable[[str], Any]:
    """Return a function that reads a response of answers/ by its name."""
    return lambda name: orjson.loads((ANSWERS / f"{name}.json").read_bytes())
