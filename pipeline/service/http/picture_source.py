"""How the two insights requests name their picture and its crop: an upload, a URL or a token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.service.findings import Crop
from pipeline.service.http.form_data import FormPart, InvalidForm, is_multipart, read_boundary, read_parts
from pipeline.service.refusals import invalid, missing

WHOLE: Crop = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """The picture is in the request."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ByUrl:
    """The picture is named by its URL."""

    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ByToken:
    """The picture is named by an insights token."""

    token: str


PictureSource = Upload | ByUrl | ByToken


def read_form(content_type: str, body: bytes) -> list[FormPart]:
    """Return the parts of a form; raises Refused if the body is no form."""
    if not is_multipart(content_type):
        raise invalid("Content-Type", content_type, "must be multipart/form-data with a boundary")
    try:
        return read_parts(body, read_boundary(content_type))
    except InvalidForm as exc:
        raise invalid("Content-Type", content_type, f"the body can't be read as a form: {exc}") from exc


def find_part(parts: list[FormPart], name: str) -> FormPart | None:
    """Return the part with this name, in any case; raises Refused if there are two."""
    matches = [part for part in parts if (part.name or "").lower() == name.lower()]
    if len(matches) > 1:
        raise invalid(name, f"{len(matches)} parts", "must be given once")
    return matches[0] if matches else None


def by_url_or_token(url: str | None, token: str | None) -> PictureSource:
    """Return the source for a token or an http(s) URL, one of which is given; raises Refused."""
    if token is not None:
        return ByToken(token=token)
    assert url is not None
    if not url.lower().startswith(("http://", "https://")):
        raise invalid("url", url, "must be an http:// or https:// URL")
    return ByUrl(url=url)


def read_upload(data: bytes) -> Upload:
    """Return the picture of a form part, without the empty line that the Visual Search guide shows before it.

    Raises Refused.
    """
    data = data.lstrip(b"\r\n")  # no picture format starts with these
    if not data:
        raise missing("image", "the image part is empty")
    return Upload(data=data)


def read_crop(edges: Mapping[str, Any]) -> Crop | None:
    """Return the crop of four named edges, in the order left, top, right, bottom; None for the whole picture.

    Four zeros are the crop of the guide's template, which has not been filled in.
    """
    left, top, right, bottom = (_read_fraction(name, value) for name, value in edges.items())
    if not any((left, top, right, bottom)):
        return None
    for low, high, index in ((left, right, 2), (top, bottom, 3)):
        if low >= high:
            name = list(edges)[index]
            raise invalid(name, edges[name], f"must be greater than {list(edges)[index - 2]}")
    return None if (left, top, right, bottom) == WHOLE else (left, top, right, bottom)


def _read_fraction(name: str, value: Any) -> float:
    try:
        number = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else -1.0
    except ValueError:
        number = -1.0
    if not 0.0 <= number <= 1.0:
        raise invalid(name, value, "must be a number from 0.0 to 1.0")
    return number
