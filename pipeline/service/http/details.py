"""Read an Image Insights request: GET with a token or URL, or POST with the picture (references 001 and 004)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.service.findings import Crop
from pipeline.service.http.multipart import is_multipart
from pipeline.service.http.rules import SEARCH_ONLY, exclude
from pipeline.service.http.wire import WHOLE, Source, check_crop, named_part, named_source, read_form, upload
from pipeline.service.refusals import invalid, missing

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
ALL = frozenset(MODULES) - {"RecognizedEntities"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """One Image Insights request (reference 001); `everything`: no module was named, or All."""

    source: Source
    crop: Crop | None = None
    modules: frozenset[str] = ALL
    everything: bool = True
    query: str | None = None


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
        modules=ALL if modules is None else modules,
        everything=modules is None,
        query=query.get("q", "").strip() or None,
    )


def _details_source(url: str | None, token: str | None, image: bytes | None) -> Source:
    if len([given for given in (url, token, image) if given is not None]) > 1:
        raise invalid("imgUrl", url or token, "imgUrl, insightsToken and an image in the body are mutually exclusive")
    if image is not None:
        return upload(image)
    if url is None and token is None:
        raise missing("insightsToken", "needs insightsToken, imgUrl, or an image in the body of a POST")
    return named_source(url, token)


def _details_picture(content_type: str, body: bytes) -> bytes:
    """Return the picture of a POST: the image part, else the first part of the form, else the bare body."""
    if not is_multipart(content_type) or b"boundary" not in content_type.lower().encode():
        return body
    parts = read_form(content_type, body)
    image = named_part(parts, "image") or (parts[0] if parts else None)
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


def _crop_parameters(query: Mapping[str, str]) -> Crop | None:
    names = ("cal", "cat", "car", "cab")
    if not any(name in query for name in names):
        return None
    return check_crop({name: query.get(name, edge) for name, edge in zip(names, WHOLE, strict=True)})
