"""What a request asks: multipart forms and query strings become small frozen values, or are refused.

Answers go beyond the published protocol in three top-level members, which its clients ignore:

    "unavailable": [{"kind": "entities", "reason": "one sentence"}]   insights that can't be known here
    "dominantColors": [{"hex": "6F4E37", "share": 0.41}]              the largest first
    "imageCaption": {"caption", "dataSourceUrl"}                      as in ImageInsights (004), for ImageKnowledge too

and a tag of ImageKnowledge carries "confidence": 0..1 beside its documented members.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from pipeline.service.findings import Crop
from pipeline.service.multipart import BadForm, Part, is_multipart, read_boundary, read_parts
from pipeline.service.refusals import invalid, missing
from pipeline.service.rules import exclude

DEFAULT_COUNT = 35
MAX_COUNT = 150
SKILLS = ("SimilarImages", "SimilarProducts")
MODULES = (
    "BRQ",
    "Caption",
    "Collections",
    "Recipes",
    "PagesIncluding",
    "RecognizedEntities",
    "RelatedSearches",
    "ShoppingSources",
    "SimilarImages",
    "SimilarProducts",
    "Tags",
)
SEARCH_ONLY = tuple(
    (
        "count aspect color freshness height imageContent imageType license maxFileSize maxHeight maxWidth "
        "minFileSize minHeight minWidth size width"
    ).split()
)
DETAILS_ONLY = ("cab", "cal", "car", "cat", "ct", "imgUrl", "insightsToken", "modules")
_WHOLE: Crop = (0.0, 0.0, 1.0, 1.0)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class VisualSearch:
    """One Visual Search request (reference 000); with a `skill`, only that one's insight is asked for."""

    source: Source
    crop: Crop | None = None
    site: str | None = None
    entity_data: bool = False
    skill: str | None = None
    page: Page = Page()


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """One Image Insights request (reference 001); `everything`: no module was named, or All."""

    source: Source
    crop: Crop | None = None
    modules: frozenset[str] = frozenset(MODULES) - {"RecognizedEntities"}
    everything: bool = True
    query: str | None = None


def read_visual_search(content_type: str, body: bytes) -> VisualSearch:
    """Read the form of a Visual Search request; raises Refused for each rule of reference 000 and 002 it breaks."""
    parts = _form(content_type, body)
    known = _json_part(_named(parts, "knowledgeRequest"))
    image = _named(parts, "image")
    info, request = _object(known, "imageInfo"), _object(known, "knowledgeRequest")
    source = _source(_text(info, "url"), _text(info, "imageInsightsToken"), image, parts)
    skill = _skill(request)
    return VisualSearch(
        source=source,
        crop=_crop_area(info),
        site=_site(_object(request, "filters")),
        entity_data=_flag(_object(request, "invokedSkillsRequestData"), "enableEntityData"),
        skill=skill,
        page=Page(offset=_whole(request, "offset"), count=min(_whole(request, "count") or DEFAULT_COUNT, MAX_COUNT)),
    )


def read_details(query: Mapping[str, str], content_type: str, body: bytes) -> Details:
    """Read an Image Insights request: GET with insightsToken or imgUrl, or POST with the picture (001, 004)."""
    exclude(query, SEARCH_ONLY, "/images/details")
    url, token = query.get("imgUrl") or None, query.get("insightsToken") or None
    image = _details_picture(content_type, body) if body else None
    modules = _modules(query.get("modules"))
    if query.get("ct", "0").lower() not in {"0", "rectangular"}:
        raise invalid("ct", query["ct"], "the only crop type is 0 (Rectangular)")
    return Details(
        source=_details_source(url, token, image),
        crop=_crop_parameters(query),
        modules=modules if modules is not None else frozenset(MODULES) - {"RecognizedEntities"},
        everything=modules is None,
        query=query.get("q", "").strip() or None,
    )


def _form(content_type: str, body: bytes) -> list[Part]:
    if not is_multipart(content_type):
        raise invalid("Content-Type", content_type, "must be multipart/form-data with a boundary")
    try:
        return read_parts(body, read_boundary(content_type))
    except BadForm as exc:
        raise invalid("Content-Type", content_type, f"the body can't be read as a form: {exc}") from exc


def _named(parts: list[Part], name: str) -> Part | None:
    found = [part for part in parts if (part.name or "").lower() == name.lower()]
    if len(found) > 1:
        raise invalid(name, f"{len(found)} parts", "must be given once")
    return found[0] if found else None


def _json_part(part: Part | None) -> dict[str, Any]:
    """Return a part's JSON object with lower-case keys and without nulls; an absent or empty part is empty."""
    if part is None or not part.data.strip():
        return {}
    try:
        value = orjson.loads(_decode(part))
    except (orjson.JSONDecodeError, UnicodeDecodeError) as exc:
        raise invalid("knowledgeRequest", part.data[:80].decode("latin-1"), f"is not valid JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise invalid("knowledgeRequest", type(value).__name__, "must be a JSON object")
    folded: dict[str, Any] = _fold(value)
    return folded


def _decode(part: Part) -> str:
    try:
        codec = codecs.lookup(part.charset or "utf-8").name
    except LookupError:
        codec = "utf-8"
    return part.data.decode("utf-8-sig" if codec == "utf-8" else codec)


def _fold(value: Any) -> Any:
    if isinstance(value, dict):
        return {key.lower(): _fold(inner) for key, inner in value.items() if inner is not None}
    return [_fold(inner) for inner in value if inner is not None] if isinstance(value, list) else value


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


def _whole(parent: dict[str, Any], name: str) -> int:
    value = parent.get(name.lower(), 0)
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise invalid(name, value, "must be a whole number from 0")
    return number


def _flag(parent: dict[str, Any], name: str) -> bool:
    value = parent.get(name.lower(), False)
    text = str(value).strip().lower()
    if text not in {"true", "false", ""}:
        raise invalid(name, value, "must be true or false")
    return text == "true"


def _site(filters: dict[str, Any]) -> str | None:
    site = _text(filters, "site")
    if site is not None and any(mark in site for mark in " /?#@"):
        raise invalid("site", site, "must be a host name such as www.contoso.com")
    return site.lower() if site else None


def _skill(request: dict[str, Any]) -> str | None:
    """Return the one skill to page; the reference's own template sends [""], which means none."""
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


def _source(url: str | None, token: str | None, image: Part | None, parts: list[Part]) -> Source:
    if image is not None and (url or token):
        raise invalid("imageInfo", url or token, "url and imageInsightsToken must not be set where an image is uploaded")
    if url and token:
        raise invalid("imageInfo", url, "url and imageInsightsToken are mutually exclusive")
    if image is not None:
        return _upload(image.data)
    if url is None and token is None:
        names = ", ".join(part.name or "(no name)" for part in parts) or "none"
        raise missing("image", f"needs an image part, or imageInfo.url or imageInsightsToken; the form's parts: {names}")
    return _named_source(url, token)


def _details_source(url: str | None, token: str | None, image: bytes | None) -> Source:
    if len([given for given in (url, token, image) if given is not None]) > 1:
        raise invalid("imgUrl", url or token, "imgUrl, insightsToken and an image in the body are mutually exclusive")
    if image is not None:
        return _upload(image)
    if url is None and token is None:
        raise missing("insightsToken", "needs insightsToken, imgUrl, or an image in the body of a POST")
    return _named_source(url, token)


def _named_source(url: str | None, token: str | None) -> Source:
    if token is not None:
        return ByToken(token=token)
    assert url is not None
    if not url.lower().startswith(("http://", "https://")):
        raise invalid("url", url, "must be an http:// or https:// URL")
    return ByUrl(url=url)


def _upload(data: bytes) -> Upload:
    """Take a picture from a part; reference 000 shows an empty line before it, which no picture format starts with."""
    data = data.lstrip(b"\r\n")
    if not data:
        raise missing("image", "the image part is empty")
    return Upload(data=data)


def _details_picture(content_type: str, body: bytes) -> bytes:
    """Return the picture of a POST: the image part, else the first part of the form, else the bare body."""
    if not is_multipart(content_type) or b"boundary" not in content_type.lower().encode():
        return body
    parts = _form(content_type, body)
    image = _named(parts, "image") or (parts[0] if parts else None)
    if image is None:
        raise missing("image", "the form has no part")
    return image.data


def _modules(text: str | None) -> frozenset[str] | None:
    """Return the modules asked for; None for All or none at all. RecognizedEntities counts only alone (004)."""
    names = [name.strip().lower() for name in (text or "").split(",") if name.strip()]
    known = {module.lower(): module for module in MODULES} | {"all": "All", "collection": "Collections"}
    for name in names:
        if name not in known:
            raise invalid("modules", name, f"must be of All, {', '.join(MODULES)}")
    chosen = frozenset(known[name] for name in names)
    if not chosen or "All" in chosen:
        return None
    return chosen if len(chosen) == 1 else chosen - {"RecognizedEntities"}


def _crop_area(info: dict[str, Any]) -> Crop | None:
    area = _object(info, "cropArea")
    if not area:
        return None
    for name in ("left", "top", "right", "bottom"):
        if name not in area:
            raise missing(f"cropArea.{name}")
    return _check_crop({f"cropArea.{name}": area[name] for name in ("left", "top", "right", "bottom")})


def _crop_parameters(query: Mapping[str, str]) -> Crop | None:
    names = ("cal", "cat", "car", "cab")
    if not any(name in query for name in names):
        return None
    return _check_crop({name: query.get(name, edge) for name, edge in zip(names, _WHOLE, strict=True)})


def _check_crop(edges: Mapping[str, Any]) -> Crop | None:
    """Check four named edges, in the order left, top, right, bottom; the whole picture is no crop."""
    left, top, right, bottom = (_fraction(name, value) for name, value in edges.items())
    for low, high, at in ((left, right, 2), (top, bottom, 3)):
        if low >= high:
            name = list(edges)[at]
            raise invalid(name, edges[name], f"must be greater than {list(edges)[at - 2]}")
    return None if (left, top, right, bottom) == _WHOLE else (left, top, right, bottom)


def _fraction(name: str, value: Any) -> float:
    try:
        number = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else -1.0
    except ValueError:
        number = -1.0
    if not 0.0 <= number <= 1.0:
        raise invalid(name, value, "must be a number from 0.0 to 1.0")
    return number
