"""Reading never raises: a law, tried on answers with parts replaced, and on bytes that are no answer at all."""

from __future__ import annotations

import copy
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from pipeline.records import Problem, Reading, Request
from pipeline.schema import Insights
from tests.providers.openai.conftest import answer_of, completion, make

SCHEMA = TypeAdapter(Insights)
PROVIDER = make(fields={"material": "what it is made of", "pieces": {"type": "integer"}})
REQUEST = Request(method="POST", target="/chat/completions", form="bytes")
CONTENT = {
    "caption": "A mug", "tags": ["mug"], "text": "HELLO", "best_query": "mug", "safety": {"adult": "unlikely"},
    "attributes": {"material": "oak", "pieces": 1},
}  # fmt: skip
DOCUMENTS = [completion(CONTENT), {"error": {"message": "no", "type": "x", "param": "y", "code": 1, "innererror": {}}}]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
HEADERS = st.dictionaries(st.sampled_from(PROVIDER.kept_headers), st.text(max_size=12), max_size=4)
STATUSES = st.sampled_from([200, 201, 204, 301, 400, 401, 404, 429, 500, 503, 599])


def check(body: bytes, status: int, headers: dict[str, str]) -> None:
    """Read an answer in every way there is; what is read is of its type, and can be written."""
    answer = answer_of(body, status, headers)
    outcome = PROVIDER.read(REQUEST, answer)
    if isinstance(outcome, Reading):
        SCHEMA.validate_python(outcome.insights, strict=True)
        orjson.dumps(outcome.insights)
    else:
        assert isinstance(outcome, Problem)
        assert outcome.message
        orjson.dumps([outcome.message, dict(outcome.details)])
    usage = PROVIDER.usage(REQUEST, answer)
    assert usage.cost is not None
    assert usage.cost >= 0
    advice = PROVIDER.advice(answer)
    assert advice.wait is None or advice.wait >= 0


def nodes(node: Any) -> list[tuple[Any, Any]]:
    """Return every node of a document, as its parent and its key."""
    if not isinstance(node, (dict, list)):
        return []
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    return [pair for key in keys for pair in ((node, key), *nodes(node[key]))]


@given(body=st.binary(max_size=200), status=STATUSES, headers=HEADERS)
def test_any_bytes(body: bytes, status: int, headers: dict[str, str]) -> None:
    """Whatever the bytes, the status and the headers are."""
    check(body, status, headers)


@given(data=st.data(), value=JSON, status=STATUSES, headers=HEADERS)
def test_any_value_in_any_place(data: st.DataObject, value: Any, status: int, headers: dict[str, str]) -> None:
    """Whatever a part of an answer is replaced by."""
    document = copy.deepcopy(data.draw(st.sampled_from(DOCUMENTS)))
    parent, key = data.draw(st.sampled_from(nodes(document)))
    parent[key] = value
    check(orjson.dumps(document), status, headers)


@given(data=st.data(), value=JSON)
def test_any_value_in_what_the_model_says(data: st.DataObject, value: Any) -> None:
    """Whatever a model says in the place of what it was asked for."""
    content = copy.deepcopy(CONTENT)
    parent, key = data.draw(st.sampled_from(nodes(content)))
    parent[key] = value
    check(orjson.dumps(completion(content)), 200, {})


@given(said=st.text(max_size=60))
def test_any_words_of_a_model(said: str) -> None:
    """Whatever a model says that is no JSON."""
    check(orjson.dumps(completion(said)), 200, {})
