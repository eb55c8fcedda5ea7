"""Providers to ask with, and answers of our own making (none is recorded) that hold every object of the documents."""

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
    """Return a maker of providers from keys of the [provider] table."""

    def make_one(name: str = "bing", endpoint: str = "", **keys: Any) -> Bing:
        kind = PROVIDERS[name]
        provider = kind.make(kind.settings(name=name, **keys), endpoint)
        assert isinstance(provider, Bing)
        return provider

    return make_one


@pytest.fixture(scope="session")
def row() -> Callable[..., Row]:
    """Return a maker of rows; by default one with an insights token."""

    def make_one(url: str = "", token: str = "ccid_1*mid_2!/+\\._", **fields: Any) -> Row:
        image = RemoteUrl(url=url) if url else InsightsToken(token=token)
        return Row(id="1", image=image, ordinal=0, line=1, **fields)

    return make_one


@pytest.fixture(scope="session")
def prepared() -> Callable[[bytes], Prepared]:
    """Return a maker of pictures that are ready to be sent."""

    def make_one(data: bytes = b"\xff\xd8picture") -> Prepared:
        facts = SourceFacts(sha256="", width=2, height=1, bytes=len(data), format="jpeg")
        return Prepared(
            source=facts, data=data, action="passed", width=2, height=1, format="jpeg", media_type="image/jpeg"
        )

    return make_one


@pytest.fixture(scope="session")
def request_for() -> Callable[..., Request]:
    """Return a maker of the request that an answer belongs to."""

    def make_one(target: str = "/images/visualsearch?mkt=en-US", crop: Crop | None = None) -> Request:
        return Request(method="POST", target=target, form="token", crop=crop)

    return make_one


@pytest.fixture(scope="session")
def answer() -> Callable[..., Answer]:
    """Return a maker of answers; a body that is no bytes is written as JSON."""

    def make_one(body: Any = b"", status: int = 200, **headers: str) -> Answer:
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return Answer(status=status, headers=names, body=data, asked_at=1_760_000_000.0)

    return make_one


@pytest.fixture(scope="session")
def own() -> Callable[[str], Any]:
    """Return a reader of an answer of our own making, by name."""
    return lambda name: orjson.loads((ANSWERS / f"{name}.json").read_bytes())
