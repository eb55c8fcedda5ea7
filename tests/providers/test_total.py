"""Reading never raises: a law, tried on responses with nodes removed, replaced and renamed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from pipeline.providers import PROVIDERS
from pipeline.providers.bing.provider import Bing
from pipeline.records import Answer, Crop, Page, Problem, Reading, Request
from pipeline.schema import Insights

ANSWERS = Path(__file__).parent / "answers"
DOCUMENTS = {path.stem: orjson.loads(path.read_bytes()) for path in sorted(ANSWERS.glob("*.json"))}
SCHEMA = TypeAdapter(Insights)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
REQUEST = Request(
    method="POST", target="/images/visualsearch", form="token", crop=Crop(left=0.1, top=0.1, right=0.9, bottom=0.8)
)


def provider() -> Bing:
    kind = PROVIDERS["bing"]
    bing = kind.make(kind.settings(name="bing"))
    assert isinstance(bing, Bing)
    return bing


BING = provider()


def nodes(node: Any) -> list[tuple[Any, Any]]:
    """Return every node of a response, as its parent and its key."""
    if not isinstance(node, (dict, list)):
        return []
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    return [pair for key in keys for pair in ((node, key), *nodes(node[key]))]


def read(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Reading | Problem:
    answer = Answer(status=status, headers=headers or {}, body=body, asked_at=0.0)
    assert isinstance(BING.read_search(REQUEST, answer), (Page, Problem))
    outcome = BING.read(REQUEST, answer)
    if isinstance(outcome, Reading):
        SCHEMA.validate_python(outcome.insights, strict=True)
        orjson.dumps(outcome.insights)
    else:
        assert isinstance(outcome, Problem)
        assert outcome.message
    return outcome


def bend(document: Any, data: st.DataObject) -> Any:
    """Drop, null, retype or rename some nodes."""
    bent = copy.deepcopy(document)
    for _ in range(data.draw(st.integers(1, 3))):
        remaining = nodes(bent)
        if not remaining:
            break
        parent, key = data.draw(st.sampled_from(remaining))
        match data.draw(st.sampled_from(["drop", "null", "retype", "rename"])):
            case "drop":
                del parent[key]
            case "null":
                parent[key] = None
            case "rename" if isinstance(parent, dict):
                parent[data.draw(st.text(max_size=8) | st.sampled_from(["_type", "image", "data"]))] = parent.pop(key)
            case _:
                parent[key] = data.draw(JSON)
    return bent


@pytest.mark.parametrize("name", DOCUMENTS)
@settings(max_examples=50)
@given(data=st.data())
def test_bent_answers(name: str, data: st.DataObject) -> None:
    """A response with nodes dropped, nulled, retyped or renamed gives insights that fit the schema, or a problem."""
    read(orjson.dumps(bend(DOCUMENTS[name], data)))


@settings(max_examples=50)
@given(data=st.data())
def test_bent_recordings(data: st.DataObject, shared_recordings: Path) -> None:
    """The same is true for recorded responses of the real service."""
    path = data.draw(st.sampled_from(sorted(shared_recordings.glob("*.json"))))
    document = orjson.loads(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    read(orjson.dumps(bend(trimmed(document), data)))


def trimmed(node: Any) -> Any:
    """Return a response with at most two items in each list, so that a changed node is often one that matters."""
    if isinstance(node, dict):
        return {key: trimmed(value) for key, value in node.items()}
    return [trimmed(item) for item in node[:2]] if isinstance(node, list) else node


@given(JSON, st.sampled_from([200, 204, 301, 400, 401, 403, 404, 410, 429, 500, 503, 999]))
def test_any_json(document: Any, status: int) -> None:
    """Any JSON under any status gives insights or a problem."""
    read(orjson.dumps(document), status)


@given(
    st.binary(max_size=200),
    st.integers(100, 999),
    st.dictionaries(
        st.sampled_from(["retry-after", "date", "bingapis-market", "bingapis-traceid"]), st.text(max_size=20)
    ),
)
def test_any_bytes(body: bytes, status: int, headers: dict[str, str]) -> None:
    """Any bytes under any status and headers give a problem or insights."""
    read(body, status, headers)


@pytest.mark.parametrize(
    "body", [b"[" * 5000, b'{"tags":' * 900 + b"1" + b"}" * 900, b'{"tags": [1e999]}', b"\xff\xfe{}"]
)
def test_hostile_bodies(body: bytes) -> None:
    """Deep nesting, numbers that are too large and other encodings don't raise."""
    read(body)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_byte_order_mark_changes_nothing(name: str, make: Callable[..., Bing], answer: Callable[..., Answer]) -> None:
    """A body may begin with a byte order mark."""
    body = orjson.dumps(DOCUMENTS[name])
    plain, marked = (make().read(REQUEST, answer(data)) for data in (body, b"\xef\xbb\xbf" + body))
    assert plain == marked
