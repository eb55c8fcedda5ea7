"""Reads what the pixels show: labels, objects, logos, landmarks, faces, safety, colours, products (docs/record.md).

Source: Vision discovery document, AnnotateImageResponse. A feature that has found nothing is missing in the answer.
"""

from __future__ import annotations

from typing import Any, Final, cast

from pipeline.providers.collector import Json, as_list, as_object, fields, take
from pipeline.providers.google.boxes import number
from pipeline.providers.google.collector import GoogleCollector, take_share
from pipeline.schema import DominantColor, Entity, Geo, ImageRef, Safety, Tag

_LIKELIHOODS: Final = ("UNKNOWN", "VERY_UNLIKELY", "UNLIKELY", "POSSIBLE", "LIKELY", "VERY_LIKELY")
_LIKELY: Final = 0.75
_SAFETY: Final = ("adult", "violence", "racy", "medical", "spoof")


def read_labels(value: list[Any], collector: GoogleCollector) -> None:
    """Read what the picture shows as a whole; a label has no box."""
    _read_tags("labelAnnotations", "description", "label", value, collector)


def read_objects(value: list[Any], collector: GoogleCollector) -> None:
    """Read the things in the picture with their boxes."""
    _read_tags("localizedObjectAnnotations", "name", "object", value, collector)


def _read_tags(where: str, name: str, source: str, value: list[Any], collector: GoogleCollector) -> None:
    items = collector.objects(where, value)
    for item in items:
        tag = fields(
            name=take(item, name, str) or "",
            box=collector.take_box(item, "boundingPoly"),
            confidence=take_share(item, "score"),
        )
        collector.insights["tags"].append(cast("Tag", {**tag, "sources": [source], "actions": [], "origin": "pixels"}))
    collector.keep_columns(where, items)


def read_logos(value: list[Any], collector: GoogleCollector) -> None:
    """Read the logos in the picture."""
    _read_entities("logoAnnotations", "Logo", value, collector)


def read_landmarks(value: list[Any], collector: GoogleCollector) -> None:
    """Read the places that the picture shows, with where on Earth they are."""
    _read_entities("landmarkAnnotations", "Landmark", value, collector)


def _read_entities(where: str, kind: str, value: list[Any], collector: GoogleCollector) -> None:
    items = collector.objects(where, value)
    for item in items:
        entity = fields(
            name=take(item, "description", str),
            id=take(item, "mid", str),
            box=collector.take_box(item, "boundingPoly"),
            confidence=take_share(item, "score"),
            geo=_take_geo(item),
        )
        collector.insights["entities"].append(_entity(entity, kind))
    collector.keep_columns(where, items)


def _entity(known: Json, kind: str) -> Entity:
    return cast("Entity", {**known, "types": [kind], "attributions": [], "origin": "pixels"})


def _take_geo(item: Json) -> Geo | None:
    """Take the first of the places of a landmark: that of what is shown, before that of the camera."""
    places = as_list(item.get("locations"))
    first = as_object(places[0]) if places else {}
    position = first.get("latLng")
    if len(first) != 1 or type(position) is not dict or not position.keys() <= {"latitude", "longitude"}:
        return None
    latitude, longitude = number(position.get("latitude", 0.0)), number(position.get("longitude", 0.0))
    if latitude is None or longitude is None:
        return None
    item["locations"] = places[1:]
    if not item["locations"]:
        del item["locations"]
    return {"lat": float(latitude), "long": float(longitude)}


def read_faces(value: list[Any], collector: GoogleCollector) -> None:
    """Read where faces are; nothing says whose."""
    items = collector.objects("faceAnnotations", value)
    for item in items:
        box, confidence = collector.take_box(item, "boundingPoly"), take_share(item, "detectionConfidence")
        collector.insights["entities"].append(_entity(fields(box=box, confidence=confidence), "Face"))
    collector.keep_columns("faceAnnotations", items)


def read_safety(value: Json, collector: GoogleCollector) -> None:
    """Read how likely the picture is unsafe: very unlikely as 0, very likely as 1, unknown not at all."""
    rest = dict(value)
    safety = fields(**{name: _take_likelihood(rest, name) for name in _SAFETY})
    if safety:
        collector.insights["safety"] = cast("Safety", {**safety, "origin": "pixels"})
    if "adult" in safety or "racy" in safety:
        is_friendly = max(safety.get("adult", 0.0), safety.get("racy", 0.0)) < _LIKELY
        collector.insights["image"] = {"family_friendly": is_friendly, "origin": "pixels"}
    for name, left in rest.items():
        collector.keep(f"safeSearchAnnotation.{name}", left)


def _take_likelihood(source: Json, name: str) -> float | None:
    """Take a likelihood, which may be a name or its number."""
    value = source.get(name)
    names = _LIKELIHOODS
    rank = names.index(value) if value in names else value if type(value) is int and 0 <= value < len(names) else None
    if rank is None:
        return None
    del source[name]
    return (rank - 1) / (len(names) - 2) if rank else None


def read_colours(value: Json, collector: GoogleCollector) -> None:
    """Read the colours, those of the largest areas first; the accent colour is that with the highest score."""
    rest = dict(value)
    dominant = take(rest, "dominantColors", dict) or {}
    colours = collector.objects("imagePropertiesAnnotation.dominantColors.colors", take(dominant, "colors", list) or [])
    colours.sort(key=lambda colour: -(number(colour.get("pixelFraction")) or 0.0))
    if colours:
        accent = max(colours, key=lambda colour: number(colour.get("score")) or 0.0)
        if (accent_hex := _hex(accent.get("color"))) is not None:
            collector.insights["accent_color"] = accent_hex
    for colour in colours:
        if (hex_colour := _hex(colour.get("color"))) is not None:
            share = fields(share=take_share(colour, "pixelFraction"))
            collector.insights["dominant_colors"].append(cast("DominantColor", {"hex": hex_colour, **share}))
            colour.pop("color")
    collector.keep_columns("imagePropertiesAnnotation.dominantColors.colors", colours)
    collector.keep("imagePropertiesAnnotation.dominantColors", dominant)
    collector.keep("imagePropertiesAnnotation", rest)


def _hex(colour: Any) -> str | None:
    """Return a colour whose channels are 0 to 255, zeros left out; None for one that is transparent, or no colour."""
    if type(colour) is not dict or not colour.keys() <= {"red", "green", "blue"}:
        return None
    channels = [number(colour.get(name, 0)) for name in ("red", "green", "blue")]
    if not all(channel is not None and 0 <= channel <= 255 for channel in channels):
        return None
    return "#" + "".join(f"{round(channel or 0):02x}" for channel in channels)


def read_products(value: Json, collector: GoogleCollector) -> None:
    """Read the products of the user's own product set that look like what the picture shows."""
    rest, items = dict(value), collector.insights["similar_products"]["items"]
    results = collector.objects("productSearchResults.results", take(rest, "results", list) or [])
    for result in results:
        product = dict(as_object(result.get("product")))
        known = fields(name=take(product, "displayName", str), image_id=take(product, "name", str))
        items.append(cast("ImageRef", {**known, "match": "similar", "origin": "catalogue"}))
        result["product"] = product
        if not product:
            del result["product"]
    collector.keep_columns("productSearchResults.results", results)
    collector.keep("productSearchResults", rest)
