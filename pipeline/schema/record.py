"""The whole record: the picture's source, how it was sent, the calls that were made, and the insights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Required

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from pipeline.schema.images import ImageRef
from pipeline.schema.insights import Insights
from pipeline.schema.parts import closed

SCHEMA_VERSION = "1"
ATTRIBUTES_ID = "urn:image-insights:attributes"


@closed
class RecordSource(TypedDict, total=False):
    path: str
    url: str
    token: str
    sha256: str
    width: int
    height: int
    bytes: int
    format: str
    orientation: int


@closed
class RecordCrop(TypedDict):
    left: float
    top: float
    right: float
    bottom: float


@closed
class Sent(TypedDict, total=False):
    form: Required[Literal["bytes", "url", "token"]]
    action: Literal["passed", "stripped", "encoded"]
    width: int
    height: int
    bytes: int
    format: str
    quality: int
    scale: float
    encodes: int
    ms: float
    crop: RecordCrop


@closed
class CallsUsage(TypedDict, total=False):
    units: dict[str, float]
    tokens_in: int
    tokens_out: int
    cost: float
    currency: str


@closed
class Calls(TypedDict, total=False):
    count: Required[int]
    attempts: Required[int]
    ms: Required[float]
    trace_ids: Required[list[str]]
    from_store: Required[bool]
    model: str
    usage: CallsUsage


@closed
class Record(Insights, total=False):
    """One line of insights.jsonl."""

    schema: Required[Literal["1"]]
    id: Required[str]
    ordinal: Required[int]
    status: Required[Literal["ok", "empty"]]
    provider: Required[str]
    asked_at: Required[str]
    carry: Required[dict[str, Any]]
    source: Required[RecordSource]
    sent: Required[Sent]
    calls: Required[Calls]
    search_result: ImageRef


def json_schema(attributes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of one record; `attributes` is that of the user's own fields."""
    schema = TypeAdapter(Record).json_schema()
    if attributes is not None:
        # With an id of its own, references in it lead to its own definitions.
        schema["properties"]["attributes"] = {"$id": ATTRIBUTES_ID, **attributes}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Record", **schema}
