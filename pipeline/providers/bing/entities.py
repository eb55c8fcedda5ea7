"""Entities: people, places and things in the picture, with the licences of their texts (references 001-004)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipeline.providers.bing.boxes import rectangle
from pipeline.providers.bing.objects import image
from pipeline.providers.bing.shapes import At, Context, Json, Shape, read_list
from pipeline.schema import Box

_LICENSE = Shape({"name": ("license", str), "url": ("url", str)})


_RULE = Shape(
    {
        "_type": ("rule", str),
        "targetPropertyName": ("target", str),
        "mustBeCloseToContent": ("must_be_close", bool),
        "licenseNotice": ("notice", str),
        "text": ("text", str),
        "url": ("url", str),
    },
    objects={"license": ("license", _LICENSE.read)},
)


def attribution(source: Json, context: Context, at: At) -> Json:
    """Read one contractual rule: a licence or a link that must be shown with what it governs."""
    found = {"rule": "", **_RULE.read(source, context, at)}
    found["rule"] = found["rule"].removeprefix("ContractualRules/")
    license_: Json = found.pop("license", {})
    if "url" in license_ and "url" in found:
        context.keep((at, "url"), found["url"])
    return found | license_


_ENTITY = Shape(
    {
        "_type": ("type", str),
        "name": ("name", str),
        "alternateName": ("alternate_name", str),
        "bingId": ("id", str),
        "id": ("api_url", str),
        "description": ("description", str),
        "url": ("url", str),
        "webSearchUrl": ("web_search_url", str),
        "twitterProfile": ("twitter_url", str),
        "readLink": ("read_link", str),
        "jobTitle": ("job_title", str),
    },
    objects={"image": ("image", image)},
    lists={"contractualRules": ("attributions", attribution)},
)


def entity(source: Json, context: Context, at: At) -> Json:
    """Read one entity; its attributions stay bound to it, each naming the property it governs."""
    found = {"types": [], "attributions": [], **_ENTITY.read(source, context, at), "origin": context.origin}
    if "type" in found:
        found["types"].append(found.pop("type"))
    return found


def from_action(action: Json, box: Box | None, context: Context, at: At) -> Json:
    """Read the entity of an Entity action: `data` where entity data was asked for, else the little it names."""
    found: Json = {"types": [], "attributions": [], "origin": context.origin}
    main = action.get("mainEntity")
    if type(main) is dict:
        found |= entity(main, Context(context.origin), None)  # what is left over stays in the action's extra
    if type(action.get("data")) is dict:
        found |= entity(action["data"], context, (at, "data"))
    if type(action.get("displayName")) is str:
        found.setdefault("name", action["displayName"])
    if box is not None:
        found["box"] = box
    return found


def recognized(source: Json, context: Context, at: At) -> list[Json]:
    """Read recognizedEntityGroups: an entity for each match of each region of each group, best match first."""
    found: list[Json] = []
    groups = _objects(source, "value", context, at)
    for group, group_at in groups:
        name = group.get("name")
        for region, region_at in _objects(group, "recognizedEntityRegions", context, group_at, "name"):
            box = rectangle(region.get("region"), context, region_at)
            matches = list(_objects(region, "matchingEntities", context, region_at, "region"))
            found += [_match(match, box, name, context, match_at) for match, match_at in matches]
            if box is None or not matches:
                context.keep((region_at, "region"), region.get("region"))
    return found


def _objects(source: Json, key: str, context: Context, at: At, *read_elsewhere: str) -> Iterable[tuple[Json, At]]:
    """Return the objects in the list `key` with their places; what else `source` holds is kept."""
    for name, value in source.items():
        if name != key and name not in ("_type", *read_elsewhere):
            context.keep((at, name), value)
    return read_list(source.get(key), lambda item, _context, place: (item, place), context, (at, key)) or []


def _match(match: Json, box: Box | None, group: Any, context: Context, at: At) -> Json:
    found = _MATCH.read(match, context, at)
    named = found.pop("entity", {"types": [], "attributions": [], "origin": context.origin})
    named.update(found)
    if box is not None:
        named["box"] = box
    if type(group) is str:
        named["group"] = group
    return dict(named)


_MATCH = Shape({"matchConfidence": ("confidence", float)}, objects={"entity": ("entity", entity)})
