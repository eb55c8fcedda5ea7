"""Reading never raises: a law, tried on answers with nodes removed, replaced and renamed, and on any bytes."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from pipeline.providers.lens.account import allowance_of
from pipeline.records import Problem, Reading
from pipeline.schema import Insights
from tests.providers.lens.conftest import answer_of, lens, sent
from tests.providers.lens.lens_answers import search_answer
from tests.providers.test_total import JSON, bend

SCHEMA = TypeAdapter(Insights)
LENS = lens()
TYPES = ["visual_matches", "products", "exact_matches", "all", "about_this_image"]
STATUSES = [200, 204, 400, 401, 403, 404, 410, 429, 500, 503, 999]


def read(body: bytes, kind: str = "all", status: int = 200) -> None:
    """Read an answer; whatever comes of it fits the schema, and is JSON."""
    answer = answer_of(body, status)
    outcome = LENS.read(sent(kind), answer)
    if isinstance(outcome, Reading):
        SCHEMA.validate_python(outcome.insights, strict=True)
        orjson.dumps(outcome.insights)
    else:
        assert isinstance(outcome, Problem)
        assert outcome.message
    LENS.usage(sent(kind), answer)
    LENS.advice(answer)
    LENS.trace_id(answer)


@pytest.mark.parametrize("kind", TYPES)
@settings(max_examples=60)
@given(data=st.data())
def test_bent_answers(kind: str, data: st.DataObject) -> None:
    """An answer with nodes dropped, nulled, retyped or renamed gives insights that fit the schema, or a problem."""
    read(orjson.dumps(bend(search_answer(kind, "https://e.example.com/a.jpg"), data)), kind)


@given(JSON, st.sampled_from(STATUSES), st.sampled_from(TYPES))
def test_any_json(document: Any, status: int, kind: str) -> None:
    """Any JSON under any status, also in the place of a part that is known, gives insights or a problem."""
    read(orjson.dumps(document), kind, status)
    parts = ["visual_matches", "exact_matches", "knowledge_graph", "related_content", "text_results", "error"]
    read(orjson.dumps({"search_metadata": {"status": "Success"}, **dict.fromkeys(parts, document)}), kind, status)
    read(orjson.dumps({"search_metadata": {"status": "Success"}, "visual_matches": [{"price": document}]}), kind)
    allowance_of(status, document, 0.0).problem(0.0)


@given(st.binary(max_size=200), st.integers(100, 999))
def test_any_bytes(body: bytes, status: int) -> None:
    """Any bytes under any status."""
    read(body, status=status)


def test_an_answer_nested_far_too_deep() -> None:
    """It is read as far as it goes."""
    deep: Any = "x"
    for _ in range(200):
        deep = {"serpapi_link": "gone", "more": deep}
    read(orjson.dumps({"search_metadata": {"status": "Success"}, "ai_overview": deep}))
