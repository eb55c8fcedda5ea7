"""What answers mean: the insights of a good one, and the kind of every bad one."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from pydantic import TypeAdapter

from pipeline.providers.openai.provider import OpenAI
from pipeline.records import Problem, Reading
from pipeline.schema import Insights
from tests.providers.openai.conftest import answer_of, completion, make, request_of

GOOD = {
    "caption": "A teal mug  on a table.",
    "tags": ["mug", "teal ", "mug", "ceramic"],
    "text": "HELLO\nWORLD",
    "best_query": "teal ceramic mug",
    "safety": {
        "adult": "very_unlikely",
        "violence": "unlikely",
        "racy": "possible",
        "medical": "likely",
        "spoof": "very_likely",
    },
}
FIELDS = {
    "material": {"description": "What it is made of", "required": True},
    "pieces": {"type": "integer"},
    "colours": {"type": "array", "items": {"choices": ("red", "teal")}},
    "size": {"type": "object", "fields": {"width": {"type": "number", "required": True}, "unit": "the unit"}},
}


def read(provider: OpenAI, body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Reading | Problem:
    outcome = provider.read(request_of(provider), answer_of(body, status, headers))
    assert isinstance(outcome, (Reading, Problem))
    return outcome


def insights(provider: OpenAI, content: Any) -> Any:
    """Return the insights of an answer, which must be of their type."""
    outcome = read(provider, completion(content))
    assert isinstance(outcome, Reading), outcome
    return TypeAdapter(Insights).validate_python(outcome.insights, strict=True)


def test_a_good_answer_fills_the_record(openai: OpenAI) -> None:
    """Caption, tags, text, query and safety, each marked as generated; likelihoods are numbers."""
    record = insights(openai, GOOD)
    assert record["caption"] == {"text": "A teal mug on a table.", "related_searches": [], "origin": "generated"}
    assert [tag["name"] for tag in record["tags"]] == ["mug", "teal", "ceramic"]
    assert {tag["origin"] for tag in record["tags"]} == {"generated"}
    assert record["text"] == {"full": "HELLO\nWORLD", "regions": [], "sources": ["model"], "origin": "generated"}
    assert record["best_query"] == {"text": "teal ceramic mug", "origin": "generated"}
    assert record["safety"] == {
        "adult": 0.0, "violence": 0.25, "racy": 0.5, "medical": 0.75, "spoof": 1.0, "origin": "generated",
    }  # fmt: skip
    assert {item["kind"] for item in record["unavailable"]} >= {"pages", "offers", "similar_images"}
    assert record["other"] == []


def test_what_is_not_known_is_absent(openai: OpenAI) -> None:
    """Nulls and empty texts leave no field behind."""
    record = insights(openai, {"caption": None, "tags": [], "text": "", "best_query": None, "safety": None})
    assert not {"caption", "text", "best_query", "safety"} & record.keys()
    assert record["tags"] == []


def test_what_has_another_form_is_kept(openai: OpenAI) -> None:
    """A value that is none of what was asked for, and a key of the model's own, go to `other`."""
    record = insights(openai, {"caption": {"short": "mug"}, "tags": "mug, teal", "mood": "calm", "text": 5})
    assert [tag["name"] for tag in record["tags"]] == ["mug", "teal"]
    assert record["other"] == [
        {"where": "caption", "value": {"short": "mug"}},
        {"where": "mood", "value": "calm"},
        {"where": "text", "value": 5},
    ]


def test_what_a_service_adds_is_kept(openai: OpenAI) -> None:
    """Azure says what its filters found, OpenRouter who answered; what says nothing of the picture is left out."""
    body = {
        **completion(GOOD),
        "provider": "Azure",
        "prompt_filter_results": [{"prompt_index": 0}],
        "timings": {"ms": 1},
    }
    body["choices"][0] |= {"content_filter_results": {"hate": {"filtered": False}}, "logprobs": None}
    body["choices"][0]["message"] |= {"annotations": [], "reasoning": "A mug?"}
    outcome = read(openai, body)
    assert isinstance(outcome, Reading)
    assert outcome.insights["other"] == [
        {"where": "provider", "value": "Azure"},
        {"where": "prompt_filter_results", "value": [{"prompt_index": 0}]},
        {"where": "choices[0].content_filter_results", "value": {"hate": {"filtered": False}}},
    ]


@pytest.mark.parametrize(
    "content",
    [
        'Here it is:\n```json\n{"caption": "A mug"}\n```\nAnything else?',
        '<think>A mug? {"caption": "no"}</think>{"caption": "A mug"}',
        '\ufeff{"caption": "A mug"}',
    ],
    ids=["fenced", "thoughts", "byte order mark"],
)
def test_json_is_found_among_words(openai: OpenAI, content: str) -> None:
    """Models that know no schemas wrap what they were asked for."""
    assert insights(openai, content)["caption"]["text"] == "A mug"


def test_a_content_of_several_parts(openai: OpenAI) -> None:
    """Some services send a list of texts."""
    body = completion(None)
    body["choices"][0]["message"]["content"] = [
        {"type": "text", "text": '{"caption": '},
        {"type": "text", "text": '"x"}'},
    ]
    outcome = read(openai, body)
    assert isinstance(outcome, Reading)
    assert outcome.insights["caption"]["text"] == "x"


def test_the_users_own_fields_are_checked_and_kept() -> None:
    """Nulls of fields that may be absent are left out, the rest is as the model said."""
    provider = make(fields=FIELDS, features=())
    given = {"material": "ceramic", "pieces": None, "colours": ["teal"], "size": {"width": 8.5, "unit": None}}
    record = insights(provider, {"attributes": given})
    assert record["attributes"] == {"material": "ceramic", "colours": ["teal"], "size": {"width": 8.5}}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"pieces": 1}, "'material' is a required property (at $)"),
        ({"material": "oak", "pieces": "two"}, "'two' is not of type 'integer' (at $.pieces)"),
        ({"material": "oak", "colours": ["blue"]}, "'blue' is not one of ['red', 'teal'] (at $.colours[0])"),
        ({"material": "oak", "size": {"unit": "cm"}}, "'width' is a required property (at $.size)"),
        ({"material": "oak", "weight": 1}, "('weight' was unexpected) (at $)"),
        (None, "there is no object 'attributes'"),
        ("oak", "the attributes are no object"),
    ],
)
def test_attributes_that_dont_match_fail_the_row(given: Any, said: str) -> None:
    """The row fails by name, with the place that is wrong; what the model said is in the details."""
    outcome = read(make(fields=FIELDS), completion({"caption": "A mug", "attributes": given}))
    assert isinstance(outcome, Problem)
    assert (outcome.kind, outcome.code) == ("row", "answer-invalid")
    assert said in outcome.message
    assert "A mug" in outcome.details["said"]


@pytest.mark.parametrize(
    ("body", "code", "fallback"),
    [
        (completion('{"caption": "A', "length"), "cut-off", "more-tokens"),
        (completion(None, refusal="I can't help with that."), "refused-content", ""),
        (completion("", "content_filter"), "refused-content", ""),
        (completion("It is a mug."), "answer-not-json", ""),
        (completion(""), "answer-not-json", ""),
        (completion('["a mug"]'), "answer-not-json", ""),
        (completion({"colour": "teal"}), "answer-invalid", ""),
    ],
    ids=["cut", "refusal", "filter", "prose", "nothing", "list", "other keys"],
)
def test_answers_that_are_no_insights_fail_their_row(openai: OpenAI, body: Any, code: str, fallback: str) -> None:
    """Each by its own name; only one that was cut off is worth another call."""
    outcome = read(openai, body)
    assert isinstance(outcome, Problem)
    assert (outcome.kind, outcome.code, outcome.fallback) == ("row", code, fallback)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (completion(None, refusal="I can't help with that."), "I can't help with that."),
        (completion('{"caption": "A', "length"), '{"caption": "A'),
    ],
    ids=["refusal", "half an answer"],
)
def test_what_the_model_said_is_kept_with_the_failure(openai: OpenAI, body: Any, said: str) -> None:
    """A refusal names its reason; a half answer can be looked at."""
    outcome = read(openai, body)
    assert isinstance(outcome, Problem)
    assert outcome.details["said"] == said


def error(message: str = "no", **parts: Any) -> dict[str, Any]:
    return {"error": {"message": message, **parts}}


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (401, error(code="invalid_api_key", type="invalid_request_error"), "refused", "invalid-api-key"),
        (403, error(code="unsupported_country_region_territory"), "refused", "unsupported-country-region-territory"),
        (403, b"", "refused", "http-403"),
        (429, error(code="rate_limit_exceeded", type="requests"), "throttled", "rate-limit-exceeded"),
        (429, error(code="429"), "throttled", "http-429"),
        (503, error(code="slow_down"), "throttled", "slow-down"),
        (429, error(code="insufficient_quota", type="insufficient_quota"), "quota", "quota-used-up"),
        (429, error(code="credit_balance_exhausted", type="insufficient_quota"), "quota", "quota-used-up"),
        (402, error("Insufficient credits", code=402), "quota", "quota-used-up"),
        (400, error(code="context_length_exceeded", param="messages"), "row", "context-length-exceeded"),
        (400, error("unsupported image", code="invalid_image_format"), "row", "invalid-image-format"),
        (413, b"Payload too large", "row", "http-413"),
        (400, error(code="content_policy_violation"), "row", "blocked"),
        (400, error(code="content_filter", innererror={"code": "ResponsibleAIPolicyViolation"}), "row", "blocked"),
        (400, error(innererror={"code": "ResponsibleAIPolicyViolation"}), "row", "blocked"),
        (403, error("flagged", code=403, metadata={"flagged_input": "x", "reasons": ["y"]}), "row", "blocked"),
        (404, error(code="model_not_found"), "misconfigured", "model-not-found"),
        (404, {"detail": "Not Found"}, "misconfigured", "http-404"),
        (404, b"404 page not found", "misconfigured", "http-404"),
        (400, error(code="unsupported_value", param="temperature"), "misconfigured", "unsupported-value"),
        (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"]}]}, "misconfigured", "http-422"),
        (400, error("image input is not supported by this model"), "misconfigured", "no-pictures"),
        (500, error("image input is not supported - hint: you may need the mmproj"), "misconfigured", "no-pictures"),
        (500, error(type="server_error"), "transient", "server-error"),
        (503, error(code="server_is_overloaded"), "transient", "server-is-overloaded"),
        (502, b"<html>Bad gateway</html>", "transient", "http-502"),
        (529, {"error": {"type": "overloaded_error", "message": "Overloaded"}}, "transient", "overloaded-error"),
        (408, b"", "transient", "http-408"),
        (200, error("Provider returned error", code=502), "transient", "http-502"),
        (200, error("Insufficient credits", code=402), "quota", "quota-used-up"),
        (200, error("Rate limited", code=429), "throttled", "http-429"),
        (200, error("Bad request", code=400), "row", "http-400"),
        (200, error("something"), "transient", "http-500"),
        (200, {"choices": [{"error": {"code": 503, "message": "died"}}]}, "transient", "http-503"),
        (400, {"object": "error", "message": "At most 1 image(s)", "type": "BadRequestError", "code": 400}, "row",
         "bad-request-error"),
        (400, {"error": {"message": "x", "type": "BadRequestError", "code": 400}}, "row", "bad-request-error"),
        (404, {"object": "error", "message": "no model", "type": "NotFoundError", "code": 404}, "misconfigured",
         "not-found-error"),
        (404, {"error": "model 'x' not found, try pulling it first"}, "misconfigured", "http-404"),
        (307, b"", "misconfigured", "http-307"),
        (200, b"", "transient", "empty-body"),
        (200, b"<html>hello</html>", "transient", "not-json"),
        (200, {"ok": True}, "transient", "unexpected-answer"),
        (200, {"choices": []}, "transient", "unexpected-answer"),
    ],
)  # fmt: skip
def test_what_services_refuse(openai: OpenAI, status: int, body: Any, kind: str, code: str) -> None:
    """Nested and flat, words and numbers, with and without a status that says so: each is of its kind."""
    outcome = read(openai, body, status)
    assert isinstance(outcome, Problem)
    assert (outcome.kind, outcome.code) == (kind, code)
    assert outcome.http_status == status
    assert outcome.message


@pytest.mark.parametrize(
    ("body", "headers", "by_amount"),
    [
        (error(code="rate_limit_exceeded", type="tokens"), {}, True),
        (error("on tokens per min (TPM): Limit 10000, Used 9000"), {}, True),
        (error("exceeded token rate limit of your current tier"), {}, True),
        (error("x"), {"x-ratelimit-remaining-requests": "5", "x-ratelimit-remaining-tokens": "0"}, True),
        (error("x"), {"x-ratelimit-remaining-requests": "0", "x-ratelimit-remaining-tokens": "0"}, False),
        (error(code="rate_limit_exceeded", type="requests"), {}, False),
        (error("Too many requests"), {}, False),
    ],
)
def test_which_limit_was_exceeded(openai: OpenAI, body: Any, headers: dict[str, str], by_amount: bool) -> None:
    """A refusal for tokens is told from one for calls by its type, its words, or what is left."""
    outcome = read(openai, body, 429, headers)
    assert isinstance(outcome, Problem)
    assert (outcome.kind, outcome.by_amount) == ("throttled", by_amount)


@pytest.mark.parametrize(
    ("status", "told", "kind"), [(400, "true", "transient"), (503, "false", "row"), (503, "true", "transient")]
)
def test_a_service_says_itself_whether_to_retry(openai: OpenAI, status: int, told: str, kind: str) -> None:
    """x-should-retry has the last word, as it has for OpenAI's own client."""
    outcome = read(openai, error("x"), status, {"x-should-retry": told})
    assert isinstance(outcome, Problem)
    assert outcome.kind == kind


@pytest.mark.parametrize(
    ("status", "body", "fallback"),
    [
        (400, error("This response_format type is unavailable now"), "plain-json"),
        (400, error("does not support 'json_schema' response format"), "plain-json"),
        (400, error("x", param="response_format", code="unsupported_parameter"), "plain-json"),
        (422, {"detail": [{"loc": ["body", "response_format"], "type": "extra_forbidden"}]}, "plain-json"),
        (500, error("failed to parse json_schema"), "plain-json"),
        (400, error("Invalid schema for response_format 'insights': missing items", param="response_format"), ""),
        (400, error("Use 'max_tokens' instead", param="max_completion_tokens"), "other-name"),
        (422, {"detail": [{"loc": ["body", "max_completion_tokens"], "type": "extra_forbidden"}]}, "other-name"),
        (400, error("max_tokens is too large: 900000"), ""),
        (401, error("response_format"), ""),
        (429, error("response_format"), ""),
    ],
)
def test_another_way_to_ask(openai: OpenAI, status: int, body: Any, fallback: str) -> None:
    """A part of the request that a service doesn't know can be said otherwise; a wrong schema can't."""
    outcome = read(openai, body, status)
    assert isinstance(outcome, Problem)
    assert outcome.fallback == fallback


def test_a_plain_request_has_no_plainer_form(openai: OpenAI) -> None:
    """Where no schema was sent, nothing that is said about one leads to another call."""
    plain = openai.with_fallbacks(request_of(openai), frozenset({"plain-json"}))
    outcome = openai.read(plain, answer_of(error("This response_format type is unavailable now"), 400))
    assert isinstance(outcome, Problem)
    assert outcome.fallback == ""


def test_details_name_what_a_support_asks_for(openai: OpenAI) -> None:
    """Code, type, parameter and the id of the request."""
    body = error(code="unsupported_value", type="invalid_request_error", param="temperature")
    outcome = read(openai, body, 400, {"x-request-id": "req_1"})
    assert isinstance(outcome, Problem)
    assert outcome.details == {
        "code": "unsupported_value", "type": "invalid_request_error", "parameter": "temperature", "trace_id": "req_1",
    }  # fmt: skip
    assert outcome.message == "no (parameter temperature)"


def test_what_a_call_used(openai: OpenAI) -> None:
    """The answer's own count, at the price of the model; errors cost nothing; silence costs the estimate."""
    request = request_of(openai)
    used = openai.usage(request, answer_of(completion(GOOD)))
    assert (used.tokens_in, used.tokens_out, used.model) == (900, 100, "gpt-4.1-mini-2025-04-14")
    assert used.cost == pytest.approx((900 * 0.40 + 100 * 1.60) / 1e6)
    assert openai.usage(request, answer_of(error("x"), 500)).cost == 0.0
    silent = completion(GOOD)
    del silent["usage"]
    assert openai.usage(request, answer_of(silent)).cost == openai.estimate(request).cost
    assert openai.usage(request, answer_of(b"\xff")).tokens_in == 0


def test_a_service_may_name_the_cost_itself() -> None:
    """OpenRouter does, in US dollars; prices of the config come first."""
    body = completion(GOOD)
    body["usage"]["cost"] = 0.000123
    away = make(endpoint="https://openrouter.ai/api/v1")
    used = away.usage(request_of(away), answer_of(body))
    assert (used.cost, used.currency) == (0.000123, "USD")
    priced = make(prices={"input": 1.0, "output": 2.0, "currency": "EUR"})
    used = priced.usage(request_of(priced), answer_of(body))
    assert used.cost == pytest.approx(0.0011)
    assert used.currency == "EUR"


def test_the_example_reads_as_json(openai: OpenAI) -> None:
    """What is read can be written again."""
    assert orjson.dumps(insights(openai, GOOD))
