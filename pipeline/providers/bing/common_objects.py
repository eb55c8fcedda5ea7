"""Objects that occur in the responses of all endpoints: Image, Query, Offer, Recipe, ... (Image Search reference)."""

from __future__ import annotations

from typing import Any

from pipeline.providers.bing.scalars import availability, color, day, duration, moment, rating, size_in_bytes
from pipeline.providers.bing.shapes import Context, Json, JsonPath, Shape, read_list

RATING = Shape(
    {
        "reviewCount": ("count", int),
        "ratingCount": ("rating_count", int),
        "text": ("text", str),
    },
    scalars={"ratingValue": ("value", rating), "bestRating": ("best", rating)},
)
_URL_ONLY = Shape({key: (key, str) for key in ("url", "thumbnailUrl", "contentUrl")})


def image_url(value: Any, context: Context, path: JsonPath) -> str | None:
    """Read an Image or Thumbnail that has only a URL, under one of three keys."""
    if type(value) is not dict:
        return None
    urls = list(_URL_ONLY.read(value, context, path).items())
    if not urls:
        return None
    for key, url in urls[1:]:
        context.keep((path, key), url)
    return str(urls[0][1])


_QUERY = Shape(
    {
        "text": ("text", str),
        "displayText": ("display_text", str),
        "webSearchUrl": ("web_search_url", str),
        "searchLink": ("search_url", str),
    },
    converted={"thumbnail": ("thumbnail_url", image_url)},
)


def query(source: Json, context: Context, path: JsonPath) -> Json:
    """Read a Query, a suggested search term."""
    fields = _QUERY.read(source, context, path)
    fields["origin"] = context.origin
    return fields


def queries_or_one(value: Any, context: Context, path: JsonPath) -> list[Any] | None:
    """Read relatedSearches of a caption: a Query in the Image Search reference, a list in the published contract."""
    return read_list([value] if type(value) is dict else value, query, context, path)


_SELLER = Shape({"name": ("name", str)}, converted={"image": ("image_url", image_url)})
_OFFER_PLAIN = {
    "name": ("name", str),
    "url": ("url", str),
    "description": ("description", str),
    "price": ("price", float),
    "lowPrice": ("low_price", float),
    "priceCurrency": ("currency", str),
    "offerCount": ("count", int),
}
_OFFER_OBJECTS = {"seller": ("seller", _SELLER.read), "aggregateRating": ("rating", RATING.read)}
_OFFER_SCALARS = {"lastUpdated": ("updated", day), "availability": ("availability", availability)}
_OFFER = Shape(_OFFER_PLAIN, scalars=_OFFER_SCALARS, objects=_OFFER_OBJECTS)


def offer(source: Json, context: Context, path: JsonPath) -> Json:
    """Read an Offer, the price of one seller."""
    fields = _OFFER.read(source, context, path)
    fields["origin"] = context.origin
    return fields


_AGGREGATE_OFFER = Shape(
    _OFFER_PLAIN, scalars=_OFFER_SCALARS, objects=_OFFER_OBJECTS, lists={"offers": ("offers", offer)}
)


def aggregate_offer(source: Json, context: Context, path: JsonPath) -> Json:
    """Read an AggregateOffer: a summary of offers, a list of them, or both."""
    return {"offers": [], **_AGGREGATE_OFFER.read(source, context, path), "origin": context.origin}


_THUMBNAIL = Shape({"width": ("width", int), "height": ("height", int), "url": ("url", str)})
_METADATA = Shape(
    {
        "pagesIncludingCount": ("pages", int),
        "availableSizesCount": ("sizes", int),
        "shoppingSourcesCount": ("shopping", int),
        "recipeSourcesCount": ("recipes", int),
    },
    objects={
        "aggregateOffer": ("offer", aggregate_offer),
        "bestRepresentativeQuery": ("best_query", query),
    },
)
_IMAGE = Shape(
    {
        "name": ("name", str),
        "webSearchUrl": ("web_search_url", str),
        "thumbnailUrl": ("thumbnail_url", str),
        "contentUrl": ("content_url", str),
        "hostPageUrl": ("host_page_url", str),
        "hostPageDisplayUrl": ("host_page_display_url", str),
        "hostPageFavIconUrl": ("host_page_favicon_url", str),
        "hostPageDomainFriendlyName": ("host_page_domain", str),
        "proxyContentUrl": ("proxy_content_url", str),
        "creativeCommons": ("creative_commons", str),
        "encodingFormat": ("format", str),
        "width": ("width", int),
        "height": ("height", int),
        "sourceWidth": ("source_width", int),
        "sourceHeight": ("source_height", int),
        "imageInsightsToken": ("insights_token", str),
        "imageId": ("image_id", str),
        "isFamilyFriendly": ("family_friendly", bool),
        "visualWords": ("visual_words", str),
    },
    scalars={
        "datePublished": ("published", moment),
        "contentSize": ("bytes", size_in_bytes),
        "accentColor": ("accent_color", color),
    },
    objects={"thumbnail": ("thumbnail", _THUMBNAIL.read), "insightsMetadata": ("counts", _METADATA.read)},
)


def image(source: Json, context: Context, path: JsonPath) -> Json:
    """Read an Image: the picture itself, a page that shows it, or a similar image."""
    fields = _IMAGE.read(source, context, path)
    fields["origin"] = context.origin
    if "thumbnail_url" in fields:
        fields.setdefault("thumbnail", {})["url"] = fields.pop("thumbnail_url")
    counts = fields.get("counts")
    if counts is not None:
        for name in ("offer", "best_query"):
            if name in counts:
                fields[name] = counts.pop(name)
    return fields


PERSON = Shape(
    {
        "name": ("name", str),
        "url": ("url", str),
        "description": ("description", str),
        "jobTitle": ("job_title", str),
        "twitterProfile": ("twitter_url", str),
        "webSearchUrl": ("web_search_url", str),
    },
    converted={"image": ("image_url", image_url)},
)
_RECIPE = Shape(
    {
        "name": ("name", str),
        "url": ("url", str),
        "thumbnailUrl": ("thumbnail_url", str),
    },
    scalars={
        "cookTime": ("cook_time", duration),
        "prepTime": ("prep_time", duration),
        "totalTime": ("total_time", duration),
    },
    objects={"creator": ("creator", PERSON.read), "aggregateRating": ("rating", RATING.read)},
)
_GALLERY = Shape(
    {
        "name": ("name", str),
        "url": ("url", str),
        "description": ("description", str),
        "source": ("source", str),
        "thumbnailUrl": ("thumbnail_url", str),
        "imagesCount": ("images", int),
        "followersCount": ("followers", int),
    },
    objects={"creator": ("creator", PERSON.read)},
)
_TRIVIA = Shape({"name": ("name", str), "text": ("text", str), "hostPageUrl": ("host_page_url", str)})


def recipe(source: Json, context: Context, path: JsonPath) -> Json:
    """Read a Recipe."""
    return {**_RECIPE.read(source, context, path), "origin": context.origin}


def gallery(source: Json, context: Context, path: JsonPath) -> Json:
    """Read an ImageGallery, a page of related images."""
    return {**_GALLERY.read(source, context, path), "origin": context.origin}


def trivia(source: Json, context: Context, path: JsonPath) -> Json:
    """Read one item of a Trivia action."""
    return {**_TRIVIA.read(source, context, path), "origin": context.origin}
