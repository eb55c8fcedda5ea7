"""Reads an Image Insights request: GET with a token or URL, or POST with the picture.

Sources: Image Insights guide and Image Search reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.service.findings import Crop
from pipeline.service.http.common_parameters import SEARCH_ONLY, refuse_parameters
from pipeline.service.http.form_data import is_multipart
from pipeline.service.http.picture_source import (
    WHOLE,
    PictureSource,
    by_url_or_token,
    find_part,
    read_crop,
    read_form,
    read_upload,
)
from pipeline.service.http.search_request import read_expression
from pipeline.service.refusals import invalid, missing
from pipeline.service.search.expression import Expression

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
class DetailsRequest:
    """One Image Insights request (Image Insights guide); `everything`: it names no modules, or All.

    `expression` is what the words and operators of `query` say.
    """

    source: PictureSource
    crop: Crop | None = None
    modules: frozenset[str] = ALL
    everything: bool = True
    query: str | None = None
    expression: Expression | None = None


def read_details_request(query: Mapping[str, str], content_type: str, body: bytes) -> DetailsRequest:
    """Read the URL's parameters and the body of /images/details; raises Refused for a rule that is broken."""
    refuse_parameters(query, SEARCH_ONLY, "/images/details")
    url, token = query.get("imgUrl") or None, query.get("insightsToken") or None
    image = _read_image(content_type, body) if body else None
    modules = _read_modules(query.get("modules"))
    if query.get("ct", "0").lower() not in {"0", "rectangular"}:
        raise invalid("ct", query["ct"], "the only crop type is 0 (Rectangular)")
    text = query.get("q", "").strip()
    return DetailsRequest(
        source=_read_source(url, token, image),
        crop=_read_crop_parameters(query),
        modules=ALL if modules is None else modules,
        everything=modules is None,
        query=text or None,
        expression=read_expression(text),
    )


def _read_source(url: str | None, token: str | None, image: bytes | None) -> PictureSource:
    if len([source for source in (url, token, image) if source is not None]) > 1:
        raise invalid("imgUrl", url or token, "imgUrl, insightsToken and an image in the body are mutually exclusive")
    if image is not None:
        return read_upload(image)
    if url is None and token is None:
        raise missing("insightsToken", "needs insightsToken, imgUrl, or an image in the body of a POST")
    return by_url_or_token(url, token)


def _read_image(content_type: str, body: bytes) -> bytes:
    """Return the picture of a POST: the form's part "image", or else its first part, or the body if it is no form."""
    if not is_multipart(content_type) or b"boundary" not in content_type.lower().encode():
        return body
    parts = read_form(content_type, body)
    image = find_part(parts, "image") or (parts[0] if parts else None)
    if image is None:
        raise missing("image", "the form has no part")
    return image.data


def _read_modules(text: str | None) -> frozenset[str] | None:
    """Return the modules named; None for All or no names. RecognizedEntities counts only if it is alone.

    Source: Image Search reference.
    """
    names = [name.strip().lower() for name in (text or "").split(",") if name.strip()]
    known = {module.lower(): module for module in MODULES} | {"all": "All", "collection": "Collections"}
    for name in names:
        if name not in known:
            raise invalid("modules", name, f"must be of All, {', '.join(MODULES)}")
    chosen = frozenset(known[name] for name in names)
    if not chosen or "All" in chosen:
        return None
    return chosen if len(chosen) == 1 else chosen - {"RecognizedEntities"}


def _read_crop_parameters(query: Mapping[str, str]) -> Crop | None:
    names = ("cal", "cat", "car", "cab")
    if not any(name in query for name in names):
        return None
    return read_crop({name: query.get(name, edge) for name, edge in zip(names, WHOLE, strict=True)})
