"""What the tests of this provider share: a provider from settings, and answers as a service sends them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
import pytest

from pipeline.providers import PROVIDERS
from pipeline.providers.openai.provider import OpenAI
from pipeline.records import Answer, Prepared, Request, SourceFacts
from tests.rows import make_row

Make = Callable[..., OpenAI]


def make(**settings: Any) -> OpenAI:
    """Return the provider with these settings, as a config would give them."""
    kind = PROVIDERS["openai"]
    table = {"name": "openai", "model": "gpt-4.1-mini", **settings}
    provider = kind.make(kind.settings.model_validate(table, strict=True))
    assert isinstance(provider, OpenAI)
    return provider


def prepared(data: bytes = b"picture", size: tuple[int, int] = (768, 512)) -> Prepared:
    """Return a picture as it is sent."""
    width, height = size
    source = SourceFacts(sha256="0", width=width, height=height, bytes=len(data), format="JPEG")
    return Prepared(
        source=source,
        data=data,
        action="passed",
        width=width,
        height=height,
        format="JPEG",
        media_type="image/jpeg",
    )


def request_of(provider: OpenAI, **row: Any) -> Request:
    """Return the request of a row."""
    (request,) = provider.requests(make_row("a", **row), prepared())
    return request


def answer_of(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an answer with this body: JSON, or bytes as they are."""
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return Answer(status=status, headers=headers or {}, body=data, asked_at=1_000.0)


def completion(content: Any, ending: str = "stop", **message: Any) -> dict[str, Any]:
    """Return what a service answers where the model says `content`."""
    text = content if isinstance(content, str) or content is None else orjson.dumps(content).decode()
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4.1-mini-2025-04-14",
        "choices": [
            {"index": 0, "finish_reason": ending, "message": {"role": "assistant", "content": text, **message}}
        ],
        "usage": {"prompt_tokens": 900, "completion_tokens": 100, "total_tokens": 1000},
    }


@pytest.fixture
def openai() -> OpenAI:
    """Return the provider with nothing but a model."""
    return make()
