"""Requests to /images/visualsearch: a picture with its parameters, and its further pages.

Sources: Visual Search guide and query guide.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import orjson

from pipeline.errors import RequestError
from pipeline.providers.bing.common_parameters import Pairs, row_market, shared_query, target
from pipeline.providers.bing.form_data import FormPart, decode, encode
from pipeline.providers.bing.picture import Picture
from pipeline.providers.bing.settings import QuerySettings, check_site
from pipeline.providers.bing.shapes import Json
from pipeline.records import Crop, Request, Row

PATH = "/images/visualsearch"
PAGE_SIZE = 35  # the page size of the Visual Search guide
Skill = Literal["SimilarImages", "SimilarProducts"]
_CONTENT_TYPE = "Content-Type"
_PARAMETERS_PART = "knowledgeRequest"


def visual_search_request(
    row: Row, picture: Picture, settings: QuerySettings, headers: Pairs, endpoint: str
) -> Request:
    """Build the request of a row; raises RequestError if the row breaks a rule of the service."""
    parameters = {"imageInfo": _image_info(picture, row.crop), "knowledgeRequest": _knowledge_request(row, settings)}
    content_type, body = _form(parameters, picture.data, picture.media_type)
    return Request(
        method="POST",
        target=target(endpoint, PATH, shared_query(settings, row_market(row, settings))),
        form=picture.form,
        headers=((_CONTENT_TYPE, content_type), *headers),
        body=body,
        crop=row.crop,
    )


def next_page(request: Request, skill: Skill, *, offset: int, count: int, token: str | None) -> Request:
    """Build the request for `count` results of one skill from `offset` on, the nextOffset of the response.

    Only further pages name a skill: a response has the results of that skill alone, without pages, offers and tags.
    With a `token` the picture is not sent again. Site filter, crop and market are those of `request`.
    """
    parts = decode(dict(request.headers)[_CONTENT_TYPE], request.body)
    parameters = orjson.loads(parts[_PARAMETERS_PART].data) if _PARAMETERS_PART in parts else {}
    image = parts.get("image")
    if image is not None and token:
        parameters.setdefault("imageInfo", {})["imageInsightsToken"] = token
        image = None
    parameters.setdefault("knowledgeRequest", {}).update(invokedSkills=[skill], offset=offset, count=count)
    content_type, body = _form(parameters, image.data if image else b"", image.media_type if image else "")
    headers = tuple((name, content_type if name == _CONTENT_TYPE else value) for name, value in request.headers)
    return replace(request, headers=headers, body=body, form=request.form if image or not token else "token")


def site_of(request: Request) -> str:
    """Return the site filter of a request, "" without one."""
    parts = decode(dict(request.headers)[_CONTENT_TYPE], request.body)
    parameters = orjson.loads(parts[_PARAMETERS_PART].data) if _PARAMETERS_PART in parts else {}
    return str(parameters.get("knowledgeRequest", {}).get("filters", {}).get("site", ""))


def _form(parameters: Json, data: bytes, media_type: str) -> tuple[str, bytes]:
    """Return the Content-Type and the body of a form; empty objects and empty parts are left out."""
    filled = {name: value for name, value in parameters.items() if value}
    parts = [FormPart(name=_PARAMETERS_PART, data=orjson.dumps(filled))] if filled else []
    if data:
        parts.append(FormPart(name="image", data=data, media_type=media_type))
    return encode(parts)


def _image_info(picture: Picture, crop: Crop | None) -> Json:
    info: Json = {}
    if picture.form != "bytes":
        info["url" if picture.form == "url" else "imageInsightsToken"] = picture.text
    if crop is not None:
        info["cropArea"] = {"top": crop.top, "left": crop.left, "right": crop.right, "bottom": crop.bottom}
    return info


def _knowledge_request(row: Row, settings: QuerySettings) -> Json:
    fields: Json = {}
    site = _row_site(row) or settings.site
    if site:
        fields["filters"] = {"site": site}
    if settings.entity_data:
        fields["invokedSkillsRequestData"] = {"enableEntityData": "true"}
    return fields


def _row_site(row: Row) -> str:
    try:
        return check_site(row.site or "")
    except ValueError as exc:
        raise RequestError("bad-site", f"site {row.site!r} {exc}") from None
