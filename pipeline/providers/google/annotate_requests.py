"""Builds the call for one picture: images:annotate with the features of the config (Vision discovery document)."""

from __future__ import annotations

from base64 import b64encode
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from pipeline.errors import RequestError
from pipeline.providers.google.settings import FEATURES, GoogleSettings
from pipeline.records import InsightsToken, Prepared, RemoteUrl, Request, Row, image_name

TARGET: Final = "/v1/images:annotate"
_HEADERS: Final = (("Content-Type", "application/json; charset=utf-8"), ("Accept", "application/json"))
_TEXTS: Final = frozenset({"TEXT_DETECTION", "DOCUMENT_TEXT_DETECTION"})
_WITHOUT_MAXIMUM: Final = _TEXTS | {"CROP_HINTS", "SAFE_SEARCH_DETECTION", "IMAGE_PROPERTIES"}


class AnnotateRequests:
    """Builds the requests of one job; what is asked of each picture is the same."""

    def __init__(self, settings: GoogleSettings) -> None:
        asked: dict[str, Any] = {"features": [_feature(FEATURES[name], settings) for name in settings.features]}
        if context := _context(settings):
            asked["imageContext"] = context
        self._asked = b"," + orjson.dumps(asked)[1:]

    def build(self, row: Row, prepared: Prepared | None) -> Request:
        """Return the call for a row's picture: its bytes where it is prepared, else its URL; raises RequestError."""
        if row.crop is not None:
            raise RequestError(
                "crop-not-possible", "the service looks at whole pictures; leave the crop out, or crop the picture"
            )
        if prepared is None:
            return self._request("url", b'{"source":' + orjson.dumps({"imageUri": _url(row)}) + b"}", None)
        image = b'{"content":"' + b64encode(prepared.data) + b'"}'
        return self._request("bytes", image, (prepared.width, prepared.height))

    def _request(self, form: Any, image: bytes, size: tuple[int, int] | None) -> Request:
        body = b'{"requests":[{"image":' + image + self._asked + b"]}"
        return Request(method="POST", target=TARGET, form=form, headers=_HEADERS, body=body, picture_size=size)


def _feature(kind: str, settings: GoogleSettings) -> dict[str, str | int]:
    """Return a feature; `maxResults` has no effect where there is one result, or where all are given."""
    feature: dict[str, str | int] = {"type": kind}
    if settings.max_results and kind not in _WITHOUT_MAXIMUM:
        feature["maxResults"] = settings.max_results
    if settings.model and (settings.model != "builtin/rc" or kind in _TEXTS):
        feature["model"] = settings.model
    return feature


def _context(settings: GoogleSettings) -> dict[str, Any]:
    """Return what some features are told beyond the picture."""
    context: dict[str, Any] = {}
    if settings.languages:
        context["languageHints"] = settings.languages
    if settings.crop_ratios:
        context["cropHintsParams"] = {"aspectRatios": settings.crop_ratios}
    if "text" in settings.features:
        context["textDetectionParams"] = {"enableTextDetectionConfidenceScore": True}
    if settings.product_set:
        wanted = {
            "productSet": settings.product_set,
            "productCategories": [settings.product_category] if settings.product_category else [],
            "filter": settings.product_filter,
        }
        context["productSearchParams"] = {name: value for name, value in wanted.items() if value}
    return context


def _url(row: Row) -> str:
    """Return the public URL that the service is to load a picture from; raises RequestError where it is none."""
    if isinstance(row.image, InsightsToken):
        raise RequestError("token-not-offered", "the service knows no insights tokens; give a path or a URL")
    if not isinstance(row.image, RemoteUrl):
        raise RequestError("not-prepared", f"{image_name(row.image)} must be prepared before it can be sent")
    try:
        parts = urlsplit(row.image.url)
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise RequestError("bad-url", f"{row.image.url!r} is not an http or https URL")
    return row.image.url
