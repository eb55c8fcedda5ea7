"""What all requests for insights share: how a picture, a crop and a page are named.

Answers go beyond the published protocol in three top-level members, which its clients ignore:

    "unavailable": [{"kind": "entities", "reason": "one sentence"}]   insights that can't be known here
    "dominantColors": [{"hex": "6F4E37", "share": 0.41}]              the largest first
    "imageCaption": {"caption", "dataSourceUrl"}                      as in ImageInsights (004), for ImageKnowledge too

and a tag of ImageKnowledge carries "confidence": 0..1 beside its documented members.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.service.findings import Crop
from pipeline.service.http.multipart import BadForm, Part, is_multipart, read_boundary, read_parts
from pipeline.service.refusals import invalid, missing

DEFAULT_COUNT = 35
MAX_COUNT = 150
WHOLE: Crop = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """The picture came with the request."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ByUrl:
    """The picture is named by its URL."""

    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ByToken:
    """The picture is named by an insights token."""

    token: str


Source = Upload | ByUrl | ByToken


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Which part of a list is asked for."""

    offset: int = 0
    count: int = DEFAULT_COUNT


def read_form(content_type: str, body: bytes) -> list[Part]:
    """Return the parts of a form; raises Refused where the body is none."""
    if not is_multipart(content_type):
        raise invalid("Content-Type", content_type, "must be multipart/form-data with a boundary")
    try:
        return read_parts(body, read_boundary(content_type))
    except BadForm as exc:
        raise invalid("Content-Type", content_type, f"the body can't be read as a form: {exc}") from exc


def named_part(parts: list[Part], name: str) -> Part | None:
    """Return the one part of this name, whatever its case; raises Refused where it is given twice."""
    found = [part for part in parts if (part.name or "").lower() == name.lower()]
    if len(found) > 1:
        raise invalid(name, f"{len(found)} parts", "must be given once")
    return found[0] if found else None


def named_source(url: str | None, token: str | None) -> Source:
    """Return the picture that a token or an http(s) URL names; one of the two is given."""
    if token is not None:
        return ByToken(token=token)
    assert url is not None
    if not url.lower().startswith(("http://", "https://")):
        raise invalid("url", url, "must be an http:// or https:// URL")
    return ByUrl(url=url)


def upload(data: bytes) -> Upload:
    """Take a picture from a part; reference 000 shows an empty line before it, which no picture format starts with."""
    data = data.lstrip(b"\r\n")
    if not data:
        raise missing("image", "the image part is empty")
    return Upload(data=data)


def check_crop(edges: Mapping[str, Any]) -> Crop | None:
    """Check four named edges, in the order left, top, right, bottom; the whole picture is no crop."""
    left, top, right, bottom = (_fraction(name, value) for name, value in edges.items())
    for low, high, at in ((left, right, 2), (top, bottom, 3)):
        if low >= high:
            name = list(edges)[at]
            raise invalid(name, edges[name], f"must be greater than {list(edges)[at - 2]}")
    return None if (left, top, right, bottom) == WHOLE else (left, top, right, bottom)


def _fraction(name: str, value: Any) -> float:
    try:
        number = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else -1.0
    except ValueError:
        number = -1.0
    if not 0.0 <= number <= 1.0:
        raise invalid(name, value, "must be a number from 0.0 to 1.0")
    return number
