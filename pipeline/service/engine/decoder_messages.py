"""What the service and its decoder processes send each other.

A decoder process reads files of strangers and may be taken over by one. So what it sends is checked, never unpickled.
A reply is a head in JSON, and its bytes in a message of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, get_args

import numpy as np
import orjson
from pydantic import TypeAdapter

from pipeline.errors import ServiceError
from pipeline.service.engine.analysis import FEATURES_BYTES, Analysis, PictureFacts, pack_features, unpack_features
from pipeline.service.engine.color import Bytes
from pipeline.service.engine.query import Query
from pipeline.service.engine.views import QueryView
from pipeline.service.findings import BadPicture, BadPictureCode, Crop

Job = Literal["analysis", "query", "model_input", "thumbnail"]
Reply = tuple[bytes, bytes]
MAX_HEAD_BYTES = 65_536
MAX_VIEWS = 4
_NO_HEAD = b"{}"
_MAX_TEXT_CHARS = 1000


def pack_analysis(analysis: Analysis) -> Reply:
    """Return an analysis as a reply."""
    return orjson.dumps({"facts": analysis.facts}), pack_features(analysis.features)


def unpack_analysis(head: Mapping[str, Any], body: bytes) -> Analysis:
    """Return the analysis of a reply; raises ValueError where it is none."""
    return Analysis(facts=_facts(head), features=unpack_features(body))


def pack_query(query: Query) -> Reply:
    """Return what is known of a query as a reply."""
    head = {"facts": query.facts, "views": [(view.mirrored, view.box) for view in query.views]}
    return orjson.dumps(head), b"".join(pack_features(view.features) for view in query.views)


def unpack_query(head: Mapping[str, Any], body: bytes) -> Query:
    """Return the query of a reply; raises ValueError where it is none."""
    views = _views_type().validate_python(head.get("views"))
    if len(body) != len(views) * FEATURES_BYTES:
        raise ValueError("not the features of these views")
    packed = [body[start : start + FEATURES_BYTES] for start in range(0, len(body), FEATURES_BYTES)]
    return Query(
        facts=_facts(head),
        views=tuple(
            QueryView(features=unpack_features(features), mirrored=mirrored, box=box)
            for (mirrored, box), features in zip(views, packed, strict=True)
        ),
    )


def pack_bytes(body: bytes) -> Reply:
    """Return bytes as a reply."""
    return _NO_HEAD, body


def unpack_pixels(body: bytes, size_px: int) -> Bytes:
    """Return the RGB pixels of a square picture; raises ValueError where they are none."""
    return np.frombuffer(body, dtype=np.uint8).reshape(size_px, size_px, 3)


def pack_problem(problem: BadPicture) -> Reply:
    """Return what is wrong with a picture as a reply."""
    return orjson.dumps({"code": problem.code, "message": _text(str(problem))}), b""


def pack_bug(bug: Exception) -> Reply:
    """Return what went wrong with the work on a picture as a reply."""
    return orjson.dumps({"code": "", "message": _text(f"{type(bug).__name__}: {bug}")}), b""


def check_reply(head: object) -> Mapping[str, Any]:
    """Return the head of a reply; raises BadPicture or ServiceError if it says so, ValueError where it is none."""
    if not isinstance(head, dict):
        raise ValueError("not a reply")  # noqa: TRY004 - what the process sent is wrong, not our use of it
    code, message = head.get("code"), str(head.get("message"))[:_MAX_TEXT_CHARS]
    if code is None:
        return head
    if not code:
        raise ServiceError(f"a picture can't be worked on, which is a bug ({message})")
    if code not in get_args(BadPictureCode):
        raise ValueError("not a code")
    raise BadPicture(code, message)


def _text(text: str) -> str:
    return text[:_MAX_TEXT_CHARS].encode("utf-8", "replace").decode()


def _facts(head: Mapping[str, Any]) -> PictureFacts:
    return _facts_type().validate_python(head.get("facts"))


@cache
def _facts_type() -> TypeAdapter[PictureFacts]:
    return TypeAdapter(PictureFacts)


@cache
def _views_type() -> TypeAdapter[list[tuple[bool, Crop]]]:
    return TypeAdapter(list[tuple[bool, Crop]])
