"""OpenAI's own client drives the fake service: code that this project did not write vouches for it."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.providers.openai.fake_service import FAULTS, KEY, MODEL, Behaviour, OpenAIService
from tests.running import draw

openai = pytest.importorskip("openai", reason="the package openai is not installed")
SCHEMA = {
    "type": "object",
    "properties": {"caption": {"type": "string"}},
    "required": ["caption"],
    "additionalProperties": False,
}


@pytest.fixture
async def service() -> AsyncIterator[OpenAIService]:
    async with OpenAIService(Behaviour(rpm=600, tpm=1_000_000)).running() as running:
        yield running


async def ask(service: OpenAIService, question: dict[str, Any], **options: Any) -> Any:
    """Send a question with the client, and return its raw answer."""
    settings = {"api_key": KEY, "max_retries": 0, **options}
    async with openai.AsyncOpenAI(base_url=service.endpoint, **settings) as client:
        return await client.chat.completions.with_raw_response.create(**question)


def question(picture: Path, **changes: Any) -> dict[str, Any]:
    url = f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}"
    image = {"type": "image_url", "image_url": {"url": url, "detail": "low"}}
    schema = {"name": "insights", "strict": True, "schema": SCHEMA}
    return {
        "model": MODEL,
        "max_completion_tokens": 600,
        "temperature": 0,
        "messages": [
            {"role": "system", "content": "Answer in JSON."},
            {"role": "user", "content": [{"type": "text", "text": "Describe it."}, image]},
        ],
        "response_format": {"type": "json_schema", "json_schema": schema},
        **changes,
    }


async def test_an_answer_is_what_the_client_says(service: OpenAIService, tmp_path: Path) -> None:
    """It reads strictly as the client's own type, and says the limits in its headers."""
    asked = question(draw(tmp_path / "a.png", 1))
    raw = await ask(service, asked)
    completion = openai.types.chat.ChatCompletion.model_validate_json(raw.content, strict=True)
    assert completion.choices[0].finish_reason == "stop"
    assert "caption" in completion.choices[0].message.content
    assert raw.headers["x-ratelimit-limit-tokens"] == "1000000"
    assert raw.request_id == "req_1"


@pytest.mark.parametrize(
    ("changes", "key", "error", "code"),
    [
        ({}, "sk-wrong", "AuthenticationError", "invalid_api_key"),
        ({"model": "gpt-0"}, KEY, "NotFoundError", "model_not_found"),
        ({"extra_body": {"colour": 1}}, KEY, "BadRequestError", "unknown_parameter"),
    ],
    ids=["key", "model", "parameter"],
)
async def test_refusals_are_what_the_client_knows(
    service: OpenAIService, tmp_path: Path, changes: dict[str, Any], key: str, error: str, code: str
) -> None:
    """Each is the client's own error, with its code."""
    asked = question(draw(tmp_path / "a.png", 1), **changes)
    with pytest.raises(getattr(openai, error)) as refused:
        await ask(service, asked, api_key=key)
    assert refused.value.code == code


async def test_a_schema_that_is_not_strict_is_refused(service: OpenAIService, tmp_path: Path) -> None:
    """As the guide to structured outputs says."""
    schema = {"name": "insights", "strict": True, "schema": {**SCHEMA, "required": []}}
    asked = question(draw(tmp_path / "a.png", 1), response_format={"type": "json_schema", "json_schema": schema})
    with pytest.raises(openai.BadRequestError, match="Invalid schema for response_format"):
        await ask(service, asked)


async def test_what_passes_is_tried_again_by_the_client(service: OpenAIService, tmp_path: Path) -> None:
    """429 with retry-after-ms, 503 and a dropped connection cost the client a retry each, and nothing else."""
    service.faults.extend(FAULTS[name] for name in ("429", "503", "dropped"))
    completion = (await ask(service, question(draw(tmp_path / "a.png", 1)), max_retries=3)).parse()
    assert completion.usage.completion_tokens > 0
    assert [seen.status for seen in service.seen] == [429, 503, 0, 200]


async def test_too_many_tokens_are_the_client_s_rate_limit_error(tmp_path: Path) -> None:
    """The error's type says that it was for tokens, and its header when they are there."""
    async with OpenAIService(Behaviour(tpm=2_000)).running() as service:
        for number in range(2):
            asked = question(draw(tmp_path / f"{number}.png", number), max_completion_tokens=900)
            await ask(service, asked)
        with pytest.raises(openai.RateLimitError) as refused:
            await ask(service, asked)
    assert (refused.value.code, refused.value.type) == ("rate_limit_exceeded", "tokens")
    assert 0 < int(refused.value.response.headers["retry-after-ms"]) < 60_000
