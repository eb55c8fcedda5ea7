"""Reading never raises: a law, tried on answers with nodes removed, replaced and renamed, and on any bytes."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import TypeAdapter

from pipeline.providers.google.settings import FEATURES
from pipeline.records import Problem, Reading
from pipeline.schema import Insights
from tests.providers.google.conftest import answer_of, google, sent
from tests.providers.google.vision_answers import annotate
from tests.providers.test_total import JSON, bend

SCHEMA = TypeAdapter(Insights)
GOOGLE = google(features=("labels", "document_text", "web"), url_form="url")


def everything() -> Any:
    """Return an answer with every feature."""
    file = BytesIO()
    Image.new("RGB", (200, 100), "red").save(file, "PNG")
    response = annotate(file.getvalue(), dict.fromkeys(FEATURES.values(), 0), {})
    return {"responses": [response | {"error": {"code": 3, "message": "no", "details": [{"reason": "X"}]}}]}


EVERYTHING = everything()


def read(body: bytes, status: int = 200, *, is_url: bool = False) -> None:
    """Read an answer; whatever comes of it fits the schema, and is JSON."""
    outcome = GOOGLE.read(sent(None) if is_url else sent(), answer_of(body, status))
    if isinstance(outcome, Reading):
        SCHEMA.validate_python(outcome.insights, strict=True)
        orjson.dumps(outcome.insights)
    else:
        assert isinstance(outcome, Problem)
        assert outcome.message
    GOOGLE.usage(sent(), answer_of(body, status))
    GOOGLE.advice(answer_of(body, status))


@settings(max_examples=200)
@given(data=st.data())
def test_bent_answers(data: st.DataObject) -> None:
    """An answer with nodes dropped, nulled, retyped or renamed gives insights that fit the schema, or a problem."""
    read(orjson.dumps(bend(EVERYTHING, data)), is_url=data.draw(st.booleans()))


@pytest.mark.parametrize("name", sorted(EVERYTHING["responses"][0]))
@settings(max_examples=25)
@given(data=st.data())
def test_bent_annotations(name: str, data: st.DataObject) -> None:
    """The same for each annotation alone, so that a changed node is often one that matters."""
    one = {"responses": [{name: EVERYTHING["responses"][0][name]}]}
    read(orjson.dumps(bend(one, data)))


@given(JSON, st.sampled_from([200, 204, 400, 401, 403, 404, 413, 429, 500, 503, 999]))
def test_any_json(document: Any, status: int) -> None:
    """Any JSON under any status gives insights or a problem."""
    read(orjson.dumps(document), status)
    read(orjson.dumps({"responses": [document], "error": document}), status)
    read(orjson.dumps({"error": {"code": document, "details": [document], "message": document}}), status)


@given(st.binary(max_size=200), st.integers(100, 999))
def test_any_bytes(body: bytes, status: int) -> None:
    """Any bytes under any status."""
    read(body, status)
