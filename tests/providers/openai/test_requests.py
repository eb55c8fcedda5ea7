"""What is sent to a model: one picture, the words beside it, a schema that services accept, and other ways to ask."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from pipeline.config import PrepareConfig
from pipeline.errors import RequestError
from pipeline.prepare.fit_rules import rules_from
from pipeline.providers.base import FallbackService
from pipeline.providers.openai.provider import OpenAI
from pipeline.records import Crop, InsightsToken
from tests.providers.openai.conftest import make, prepared, request_of
from tests.providers.openai.fake_service import _check_strict
from tests.rows import make_row

PLAIN, NAME, MORE = "plain-json", "other-name", "more-tokens"


def body_of(provider: OpenAI, **row: Any) -> Any:
    return orjson.loads(request_of(provider, **row).body)


def test_one_picture_and_a_strict_schema(openai: OpenAI) -> None:
    """The picture goes as a data URL; the schema is one that OpenAI accepts as strict."""
    request = request_of(openai)
    assert (request.method, request.target, request.form) == ("POST", "/chat/completions", "bytes")
    body = orjson.loads(request.body)
    (text, image) = body["messages"][1]["content"]
    assert text == {"type": "text", "text": "Describe this picture."}
    head, _, data = image["image_url"].pop("url").partition(",")
    assert (head, base64.b64decode(data)) == ("data:image/jpeg;base64", b"picture")
    assert image == {"type": "image_url", "image_url": {}}
    schema = body["response_format"]["json_schema"]
    assert (schema["name"], schema["strict"]) == ("insights", True)
    _check_strict(schema["schema"], "()")
    assert list(schema["schema"]["properties"]) == ["caption", "tags", "text", "best_query", "safety"]
    assert (body["model"], body["max_completion_tokens"]) == ("gpt-4.1-mini", 800)
    assert "temperature" not in body  # newer models refuse any but their own


def test_the_same_row_makes_the_same_bytes(openai: OpenAI) -> None:
    """Or it would be paid for twice."""
    assert request_of(openai).body == request_of(make()).body


def test_what_the_row_knows_is_said(openai: OpenAI) -> None:
    """Its query, and the language of its market."""
    said = body_of(openai, query="teal mug", market="de-DE")["messages"][1]["content"][0]["text"]
    assert said == (
        "Describe this picture.\nIts owner says of it: teal mug\n"
        "Write for readers of the market de-DE, in their language."
    )


@pytest.mark.parametrize(
    ("change", "reads"),
    [
        ({"features": ("tags",)}, lambda body: list(body["response_format"]["json_schema"]["schema"]["properties"])),
        ({"detail": "low"}, lambda body: body["messages"][1]["content"][1]["image_url"]["detail"]),
        ({"max_tokens": 100}, lambda body: body["max_completion_tokens"]),
        ({"max_tokens_name": "max_tokens"}, lambda body: body["max_tokens"]),
        ({"parameters": {"seed": 7, "provider": {"sort": "price"}}}, lambda body: (body["seed"], body["provider"])),
        ({"prompt": "We sell mugs."}, lambda body: body["messages"][0]["content"].splitlines()[-1]),
    ],
)  # fmt: skip
def test_settings_change_the_call(change: dict[str, Any], reads: Any) -> None:
    """Each is where services look for it."""
    expected = {
        "features": ["tags"],
        "detail": "low",
        "max_tokens": 100,
        "max_tokens_name": 800,
        "parameters": (7, {"sort": "price"}),
        "prompt": "We sell mugs.",
    }
    assert reads(body_of(make(**change))) == expected[next(iter(change))]


@pytest.mark.parametrize(
    "change",
    [
        {"model": "gpt-4.1-nano"},
        {"prompt": "We sell mugs."},
        {"fields": {"material": "what it is made of"}},
        {"features": ("tags",)},
        {"max_tokens": 900},
        {"parameters": {"seed": 1}},
        {"endpoint": "https://other.example/v1"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_can_change_an_answer_is_in_its_fingerprint(openai: OpenAI, change: dict[str, Any]) -> None:
    """Another model, prompt, schema or service asks again."""
    other = make(**change)
    assert request_of(other).fingerprint(other.service_id) != request_of(openai).fingerprint(openai.service_id)


def test_prices_are_not_in_the_fingerprint(openai: OpenAI) -> None:
    """They change no answer, nor what counts as done."""
    priced = make(prices={"input": 1.0, "output": 2.0}, picture_tokens=100, key_header="api-key")
    assert request_of(priced).body == request_of(openai).body
    assert {"prices", "picture_tokens", "key_header"} <= priced.settings.keys_without_effect


@pytest.mark.parametrize(
    ("row", "picture", "code"),
    [
        ({"crop": Crop(left=0, top=0, right=0.5, bottom=1)}, prepared(), "crop-not-possible"),
        ({"image": InsightsToken(token="t")}, None, "bad-token"),
    ],
    ids=["crop", "token"],
)
def test_what_a_model_cant_be_asked_is_not_sent(openai: OpenAI, row: dict[str, Any], picture: Any, code: str) -> None:
    """A region of a picture, and a picture that another service knows."""
    with pytest.raises(RequestError) as refused:
        openai.requests(replace(make_row("a"), **row), picture)
    assert refused.value.code == code


def test_a_plain_request_holds_the_schema_in_words(openai: OpenAI) -> None:
    """For a service that knows no response_format: nothing else changes."""
    request = request_of(openai)
    plain = orjson.loads(openai.with_fallbacks(request, frozenset({PLAIN})).body)
    whole = orjson.loads(request.body)
    schema = whole.pop("response_format")["json_schema"]["schema"]
    system = plain["messages"][0].pop("content")
    assert orjson.loads(system.rpartition("JSON Schema:\n")[2]) == schema
    assert system.startswith(whole["messages"][0].pop("content"))
    assert plain == whole


def test_more_tokens_and_the_other_name(openai: OpenAI) -> None:
    """Fallbacks add up, and the estimate follows."""
    request = request_of(openai)
    assert isinstance(openai, FallbackService)
    more = openai.with_fallbacks(request, frozenset({MORE, NAME, PLAIN}))
    body = orjson.loads(more.body)
    assert body["max_tokens"] == 3200
    assert "max_completion_tokens" not in body
    assert openai.estimate(more).tokens_out == 3200
    assert openai.estimate(request).tokens_out == 800
    assert openai.with_fallbacks(request, frozenset()) == request


@pytest.mark.parametrize(
    ("header", "expected"), [("Authorization", "Bearer secret"), ("api-key", "secret")], ids=["bearer", "azure"]
)
def test_the_key_goes_into_its_header(header: str, expected: str) -> None:
    """As a bearer token, or as Azure wants it; nothing else of the request changes."""
    provider = make(key_header=header)
    sent = provider.authorise(request_of(provider), SecretStr("secret"))
    assert dict(sent.headers) == {"Content-Type": "application/json", header: expected}


def test_pictures_are_small_upright_and_of_two_formats(openai: OpenAI) -> None:
    """768 px and 300 kB unless [prepare] says otherwise, JPEG or PNG, turned upright."""
    rules = rules_from(PrepareConfig(), openai.limits)
    assert (rules.max_side_px, rules.upright, rules.formats) == (768, True, frozenset({"JPEG", "PNG"}))
    assert rules.max_bytes == 300_000
    more = rules_from(PrepareConfig(max_side_px=2000, max_bytes=5_000_000), openai.limits)
    assert (more.max_side_px, more.max_bytes) == (2000, 5_000_000)


@pytest.mark.parametrize(
    ("model", "size", "detail", "tokens"),
    [
        ("gpt-4.1-mini", (1500, 1000), "auto", 2437),
        ("gpt-4.1-nano-2025-04-14", (1500, 1000), "auto", 3700),
        ("gpt-4.1-mini", (768, 512), "auto", 623),
        ("openai/gpt-4.1-mini", (768, 512), "auto", 623),
        ("gpt-4o", (768, 512), "low", 85),
        ("gpt-4o", (768, 512), "auto", 425),
        ("gpt-4o-mini", (768, 512), "low", 2831),
        ("something", (768, 512), "auto", 945),
    ],
)
def test_a_pictures_tokens(model: str, size: tuple[int, int], detail: str, tokens: int) -> None:
    """By OpenAI's guide: patches for small models, tiles for the others, with few tokens for few pixels."""
    small, large = (make(model=model, detail=detail), make(model=model, detail=detail, picture_tokens=1))
    (request,) = small.requests(make_row("a"), prepared(size=size))
    assert small.estimate(request).tokens_in - large.estimate(request).tokens_in + 1 == tokens
