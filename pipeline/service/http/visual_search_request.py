"""Reads a Visual Search request (Visual Search guide and query guide) as real clients write it.

Accepted are keys in any case, nulls, booleans as strings, and the empty template of the reference.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from pipeline.service.findings import Crop
from pipeline.service.http.common_parameters import MAX_DIGITS, read_site
from pipeline.service.http.form_data import FormPart
from pipeline.service.http.picture_source import (
    PictureSource,
    by_url_or_token,
    find_part,
    read_crop,
    read_form,
    read_upload,
)
from pipeline.service.refusals import invalid, missing
from pipeline.service.search.query import DEFAULT_COUNT, MAX_COUNT, PageRange

# A real request has some hundred bytes.
MAX_JSON_BYTES = 64 * 1024
CHARSETS = frozenset({"utf-16", "utf-16le", "utf-16be", "utf-32", "iso-8859-1", "latin-1", "windows-1252", "us-ascii"})
SKILLS = ("SimilarImages", "SimilarProducts")


@dataclass(frozen=True, slots=True, kw_only=True)
class VisualSearchRequest:
    """One Visual Search request (Visual Search guide); with a `skill`, only that insight is requested."""

    source: PictureSource
    crop: Crop | None = None
    site: str | None = None
    skill: str | None = None
    page: PageRange = field(default_factory=PageRange)


def read_visual_search_request(content_type: str, body: bytes) -> VisualSearchRequest:
    """Read the form of a Visual Search request; raises Refused for a rule or 002 that is broken.

    Source: Visual Search guide.
    """
    parts = read_form(content_type, body)
    knowledge = _read_json(find_part(parts, "knowledgeRequest"))
    image = find_part(parts, "image")
    info, request = _object(knowledge, "imageInfo"), _object(knowledge, "knowledgeRequest")
    source = _source(_text(info, "url"), _text(info, "imageInsightsToken"), image, parts)
    _check_flag(_object(request, "invokedSkillsRequestData"), "enableEntityData")
    return VisualSearchRequest(
        source=source,
        crop=_crop_area(info),
        site=_site(_object(request, "filters")),
        skill=_skill(request),
        page=_page(request),
    )


def _read_json(part: FormPart | None) -> dict[str, Any]:
    """Return a part's JSON object with lower-case keys and without nulls; {} for a missing or empty part."""
    if part is None or not part.data.strip():
        return {}
    if len(part.data) > MAX_JSON_BYTES:
        raise invalid("knowledgeRequest", f"{len(part.data)} bytes", f"must have at most {MAX_JSON_BYTES} bytes")
    try:
        value = _normalise(orjson.loads(_decode(part)))
    except (ValueError, RecursionError) as exc:
        raise invalid("knowledgeRequest", part.data[:80].decode("latin-1"), f"is not valid JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise invalid("knowledgeRequest", type(value).__name__, "must be a JSON object")
    return value


def _decode(part: FormPart) -> str:
    """Return a part's text: as UTF-8, unless it says that it has one of the other usual encodings."""
    charset = (part.charset or "").lower()
    return part.data.decode(charset if charset in CHARSETS else "utf-8-sig")


def _normalise(value: Any) -> Any:
    if isinstance(value, dict):
        return {key.lower(): _normalise(inner) for key, inner in value.items() if inner is not None}
    return [_normalise(inner) for inner in value if inner is not None] if isinstance(value, list) else value


def _object(parent: dict[str, Any], name: str) -> dict[str, Any]:
    value = parent.get(name.lower(), {})
    if not isinstance(value, dict):
        raise invalid(name, value, "must be a JSON object")
    return value


def _text(parent: dict[str, Any], name: str) -> str | None:
    value = parent.get(name.lower(), "")
    if not isinstance(value, str):
        raise invalid(name, value, "must be a string")
    return value.strip() or None


def _whole_number(parent: dict[str, Any], name: str) -> int:
    value = parent.get(name.lower(), 0)
    is_number = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= MAX_DIGITS
    number = int(value) if is_number else value
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise invalid(name, value, "must be a whole number from 0")
    return number


def _check_flag(parent: dict[str, Any], name: str) -> None:
    """Check a boolean that clients send as a boolean or a string; it has no effect: the service has no entities."""
    value = parent.get(name.lower(), False)
    if str(value).strip().lower() not in {"true", "false", ""}:
        raise invalid(name, value, "must be true or false")


def _site(filters: dict[str, Any]) -> str | None:
    site = _text(filters, "site")
    if site is not None and (host := read_site(site)) is None:
        raise invalid("site", site, "must be a host name such as www.contoso.com, or a URL of that host")
    return host if site is not None else None


def _skill(request: dict[str, Any]) -> str | None:
    """Return the one skill that is invoked; the template of the reference has [""], which means none."""
    value = request.get("invokedskills", [])
    if not isinstance(value, list):
        raise invalid("invokedSkills", value, "must be a list")
    names = [name for name in value if name != ""]
    for name in names:
        if name not in SKILLS:
            raise invalid("invokedSkills", name, f"may hold only {' or '.join(SKILLS)}")
    if len(set(names)) > 1:
        raise invalid("invokedSkills", ", ".join(names), "may hold SimilarImages or SimilarProducts, but not both")
    return names[0] if names else None


def _page(request: dict[str, Any]) -> PageRange:
    offset, count = _whole_number(request, "offset"), _whole_number(request, "count")
    return PageRange(offset=offset, count=min(count or DEFAULT_COUNT, MAX_COUNT))


def _source(url: str | None, token: str | None, image: FormPart | None, parts: list[FormPart]) -> PictureSource:
    if image is not None and (url or token):
        raise invalid("imageInfo", url or token, "url and imageInsightsToken must not be set with an uploaded image")
    if url and token:
        raise invalid("imageInfo", url, "url and imageInsightsToken are mutually exclusive")
    if image is not None:
        return read_upload(image.data)
    if url is None and token is None:
        names = ", ".join(part.name or "(no name)" for part in parts) or "none"
        raise missing("image", f"needs an image part, imageInfo.url or imageInsightsToken; the form's parts: {names}")
    return by_url_or_token(url, token)


def _crop_area(info: dict[str, Any]) -> Crop | None:
    area = _object(info, "cropArea")
    if not area:
        return None
    for name in ("left", "top", "right", "bottom"):
        if name not in area:
            raise missing(f"cropArea.{name}")
    return read_crop({f"cropArea.{name}": area[name] for name in ("left", "top", "right", "bottom")})
