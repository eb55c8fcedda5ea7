"""Visual Search requests: a picture, what is asked about it, and the pages that follow (references 000 and 002)."""

from __future__ import annotations

from dataclasses import replace

import orjson

from pipeline.errors import RequestError
from pipeline.providers.bing.multipart import Part, decode, encode
from pipeline.providers.bing.picture import Picture
from pipeline.providers.bing.question import Pairs, row_market, shared_query, target
from pipeline.providers.bing.settings import QuerySettings, check_site
from pipeline.providers.bing.shapes import Json
from pipeline.records import Crop, Request, Row

PATH = "/images/visualsearch"
PAGE_SIZE = 35  # the page size of reference 000
_CONTENT_TYPE = "Content-Type"


def visual_search(row: Row, picture: Picture, settings: QuerySettings, headers: Pairs, endpoint: str) -> Request:
    """Build the one call of a row; raises RequestError where the row breaks a rule."""
    question = {"imageInfo": _image_info(picture, row.crop), "knowledgeRequest": _knowledge(row, settings)}
    content_type, body = _form(question, picture.data, picture.media_type)
    return Request(
        method="POST",
        target=target(endpoint, PATH, shared_query(settings, row_market(row, settings))),
        form=picture.form,
        headers=((_CONTENT_TYPE, content_type), *headers),
        body=body,
        crop=row.crop,
    )


def next_page(request: Request, settings: QuerySettings, offset: int, token: str | None) -> Request:
    """Build the call for the results from `offset` on, which the answer named: it is not offset plus count.

    With a `token` the picture is not sent again. Site filter, crop and market stay those of `request`.
    """
    parts = decode(dict(request.headers)[_CONTENT_TYPE], request.body)
    question = orjson.loads(parts["knowledgeRequest"].data) if "knowledgeRequest" in parts else {}
    image = parts.get("image")
    if image is not None and token:
        question.setdefault("imageInfo", {})["imageInsightsToken"] = token
        image = None
    question.setdefault("knowledgeRequest", {}).update(
        invokedSkills=[settings.skills or "SimilarImages"], offset=offset, count=settings.count or PAGE_SIZE
    )
    content_type, body = _form(question, image.data if image else b"", image.media_type if image else "")
    headers = tuple((name, content_type if name == _CONTENT_TYPE else value) for name, value in request.headers)
    return replace(request, headers=headers, body=body, form=request.form if image or not token else "token")


def _form(question: Json, data: bytes, media_type: str) -> tuple[str, bytes]:
    """Return Content-Type and body; the part that says nothing is left out."""
    said = {name: value for name, value in question.items() if value}
    parts = [Part(name="knowledgeRequest", data=orjson.dumps(said))] if said else []
    if data:
        parts.append(Part(name="image", data=data, media_type=media_type))
    return encode(parts)


def _image_info(picture: Picture, crop: Crop | None) -> Json:
    info: Json = {}
    if picture.form != "bytes":
        info["url" if picture.form == "url" else "imageInsightsToken"] = picture.text
    if crop is not None:
        info["cropArea"] = {"top": crop.top, "left": crop.left, "right": crop.right, "bottom": crop.bottom}
    return info


def _knowledge(row: Row, settings: QuerySettings) -> Json:
    found: Json = {}
    site = _row_site(row) or settings.site
    if site:
        found["filters"] = {"site": site}
    if settings.entity_data:
        found["invokedSkillsRequestData"] = {"enableEntityData": "true"}
    if settings.skills:
        found["invokedSkills"] = [settings.skills]
        found["offset"] = settings.offset
        found["count"] = settings.count or PAGE_SIZE
    return found


def _row_site(row: Row) -> str:
    try:
        return check_site(row.site or "")
    except ValueError as exc:
        raise RequestError("bad-site", f"site {row.site!r} {exc}") from None
