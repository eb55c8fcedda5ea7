"""Builds the protocol's JSON objects from findings; unknown members are left out.

Source: Image Search reference, Response objects.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

from pipeline.service.findings import Crop, Duplicate, Item, ItemRating
from pipeline.service.http.wire_names import PATH_PREFIXES
from pipeline.service.text.recognised_text import Quad, RecognisedText, TextLine

Json = dict[str, Any]
_WEB_URL = re.compile(r"https?://[^/\s]", re.IGNORECASE)
THUMBNAIL_SIDE_PX = 474
BEST_RATING = 5.0  # Image Search reference, AggregateRating


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLinks:
    """URLs of this service; without a permanent `base` URL there are none."""

    base: str | None = None

    def thumbnail(self, token: str | None) -> str | None:
        """Return the URL of a small copy of a picture of the catalogue."""
        return f"{self.base}/thumbnails/{quote_plus(token)}" if self.base and token else None

    def search(self, words: str) -> str | None:
        """Return the URL of the image search for these words."""
        return f"{self.base}{PATH_PREFIXES[0]}/images/search?q={quote_plus(words)}" if self.base else None

    def search_page(self, words: str) -> str | None:
        """Return the URL of the explorer with the results of a search."""
        return f"{self.base}/#{urlencode({'q': words})}" if self.base else None

    def picture_page(self, token: str | None) -> str | None:
        """Return the URL of the explorer with a picture and what is known about it."""
        return f"{self.base}/#{urlencode({'picture': token})}" if self.base and token else None


def omit_none(members: Mapping[str, Any]) -> Json:
    """Return the members that have a value: responses have no nulls."""
    return {name: value for name, value in members.items() if value is not None}


def web_url(text: str | None) -> str | None:
    """Return an http or https URL as it is; None for anything else: a link to it could run a script."""
    if not text or not _WEB_URL.match(text):
        return None
    try:
        return text if urlsplit(text).hostname else None
    except ValueError:  # brackets around something that is no IP address
        return None


def image(item: Item, links: ServiceLinks, metadata: Json | None = None) -> Json:
    """Return the Image of one row, with its insightsMetadata, if there is any."""
    thumbnail = links.thumbnail(item.token)
    return omit_none(
        {
            "webSearchUrl": links.picture_page(item.token),
            "name": item.title or item.id,
            "thumbnailUrl": thumbnail,
            "datePublished": item.published,
            "contentUrl": web_url(item.content_url),
            "hostPageUrl": web_url(item.page_url),
            "hostPageDisplayUrl": _display_url(web_url(item.page_url)),
            "contentSize": _size(item.bytes),
            "encodingFormat": "animatedgif" if item.animated else item.format,
            "width": item.width,
            "height": item.height,
            "thumbnail": _thumbnail_size(item) if thumbnail else None,
            "imageInsightsToken": item.token,
            "isFamilyFriendly": None if item.adult is None else not item.adult,
            "insightsMetadata": metadata,
            "imageId": item.id,
            "accentColor": item.accent_color,
        }
    )


def offer(item: Item) -> Json:
    """Return the Offer of a row with a price."""
    seller = omit_none({"name": item.seller, "image": _url(item.seller_image_url)})
    return omit_none(
        {
            "name": item.title,
            "url": web_url(item.page_url),
            "description": item.description,
            "seller": seller or None,
            "price": item.price,
            "priceCurrency": item.currency,
            "availability": item.availability,
            "aggregateRating": rating(item.rating),
            "lastUpdated": item.updated,
        }
    )


def rating(value: ItemRating | None) -> Json | None:
    """Return an AggregateRating."""
    if value is None:
        return None
    members = {"ratingValue": value.value, "bestRating": BEST_RATING, "reviewCount": value.count}
    return omit_none({**members, "text": f"{value.value:g}"})


def recipe(item: Item, links: ServiceLinks) -> Json:
    """Return the Recipe of a row that has recipe columns."""
    assert item.recipe is not None
    return omit_none(
        {
            "name": item.title,
            "url": web_url(item.page_url),
            "thumbnailUrl": links.thumbnail(item.token),
            "creator": {"name": item.recipe.creator} if item.recipe.creator else None,
            "cookTime": item.recipe.cook_time,
            "prepTime": item.recipe.prep_time,
            "totalTime": item.recipe.total_time,
            "aggregateRating": rating(item.rating),
        }
    )


def query(words: str, links: ServiceLinks, token: str | None = None) -> Json:
    """Return a Query; `token` names a picture that it finds."""
    return omit_none(
        {
            "text": words,
            "displayText": words,
            "webSearchUrl": links.search_page(words),
            "searchLink": links.search(words),
            "thumbnail": _url(links.thumbnail(token)),
        }
    )


def bounding_box(box: Crop) -> Json:
    """Return an ImageTagRegion; both rectangles are the region itself.

    Source: Visual Search response guide, bounding boxes.
    """
    left, top, right, bottom = box
    corners = {
        "topLeft": {"x": left, "y": top},
        "topRight": {"x": right, "y": top},
        "bottomRight": {"x": right, "y": bottom},
        "bottomLeft": {"x": left, "y": bottom},
    }
    return {"queryRectangle": corners, "displayRectangle": corners}


def corners(quad: Quad) -> Json:
    """Return the four corners of a box, which may be tilted (Visual Search response guide, TextLine)."""
    names = ("topLeft", "topRight", "bottomRight", "bottomLeft")
    return {name: {"x": x, "y": y} for name, (x, y) in zip(names, quad, strict=True)}


def text_tag(quad: Quad, actions: list[Json]) -> Json:
    """Return a tag for recognised text; its name must not be shown.

    Sources: Visual Search query and response guides, Text recognition.
    """
    box = corners(quad)
    regions = {"queryRectangle": box, "displayRectangle": box}
    return {"displayName": "##TextRecognition", "boundingBox": regions, "actions": actions, "sources": ["OCR"]}


def text_recognition(text: RecognisedText) -> Json:
    """Return the TextRecognitionAction of all text in the picture (Visual Search response guide)."""
    data = {"regions": [{"boundingBox": corners(each.box), "lines": _lines(each.lines)} for each in text.regions]}
    return {"_type": "ImageKnowledge/TextRecognitionAction", "actionType": "TextRecognition", "data": data}


def dominant_colors(colors: Iterable[tuple[str, float]]) -> list[Json]:
    """Return the dominantColors extension (insight_responses.py)."""
    return [{"hex": code, "share": share} for code, share in colors]


def duplicates(copies: Iterable[Duplicate]) -> list[Json]:
    """Return the duplicates extension (insight_responses.py)."""
    return [
        omit_none(
            {
                "id": copy.item.id,
                "path": copy.item.image,
                "kind": copy.kind,
                "score": copy.score,
                "sha256": copy.item.sha256,
            }
        )
        for copy in copies
    ]


def unavailable(reasons: Iterable[tuple[str, str]]) -> list[Json]:
    """Return the unavailable extension (insight_responses.py)."""
    return [{"kind": kind, "reason": reason} for kind, reason in reasons]


def _lines(lines: Iterable[TextLine]) -> list[Json]:
    return [{"text": line.text, "boundingBox": corners(line.box), "words": _words(line)} for line in lines]


def _words(line: TextLine) -> list[Json]:
    return [{"text": word.text, "boundingBox": corners(word.box)} for word in line.words]


def _url(text: str | None) -> Json | None:
    url = web_url(text)
    return {"url": url} if url else None


def _size(size: int | None) -> str | None:
    return f"{size} B" if size is not None else None


def _display_url(url: str | None) -> str | None:
    if not url:
        return None
    parts = urlsplit(url)
    return f"{parts.netloc}{parts.path}".rstrip("/") or None


def _thumbnail_size(item: Item) -> Json | None:
    if not item.width or not item.height:
        return None
    scale = min(1.0, THUMBNAIL_SIDE_PX / max(item.width, item.height))
    return {"width": max(1, round(item.width * scale)), "height": max(1, round(item.height * scale))}
