"""Entities: people, places and things in the picture, with the licences of their texts.

Sources: all documents of docs/protocol.md but the Visual Search guide.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipeline.providers.bing.boxes import rectangle
from pipeline.providers.bing.common_objects import image
from pipeline.providers.bing.shapes import Context, Json, JsonPath, Shape, read_list
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


def attribution(source: Json, context: Context, path: JsonPath) -> Json:
    """Read one contractual rule: a licence or a link that must be shown with the content that it governs."""
    rule = {"rule": "", **_RULE.read(source, context, path)}
    rule["rule"] = rule["rule"].removeprefix("ContractualRules/")
    license_: Json = rule.pop("license", {})
    if "url" in license_ and "url" in rule:
        context.keep((path, "url"), rule["url"])
    return rule | license_


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


def entity(source: Json, context: Context, path: JsonPath) -> Json:
    """Read one entity; its attributions stay with it, and each names the property that it governs."""
    fields = {"types": [], "attributions": [], **_ENTITY.read(source, context, path), "origin": context.origin}
    if "type" in fields:
        fields["types"].append(fields.pop("type"))
    return fields


def entity_of_action(action: Json, box: Box | None, context: Context, path: JsonPath) -> Json:
    """Read the entity of an Entity action: from `data` if the request asked for entity data, else only its name."""
    fields: Json = {"types": [], "attributions": [], "origin": context.origin}
    main = action.get("mainEntity")
    if type(main) is dict:
        fields |= entity(main, Context(context.origin), None)  # read_action() keeps what is left over, in `extra`
    if type(action.get("data")) is dict:
        fields |= entity(action["data"], context, (path, "data"))
    if type(action.get("displayName")) is str:
        fields.setdefault("name", action["displayName"])
    if box is not None:
        fields["box"] = box
    return fields


def recognized_entities(source: Json, context: Context, path: JsonPath) -> list[Json]:
    """Read recognizedEntityGroups: one entity for each match of each region of each group, the best match first."""
    entities: list[Json] = []
    for group, group_path in _objects(source, "value", context, path):
        group_name = group.get("name")
        for region, region_path in _objects(group, "recognizedEntityRegions", context, group_path, "name"):
            box = rectangle(region.get("region"), context, region_path)
            matches = list(_objects(region, "matchingEntities", context, region_path, "region"))
            entities += [_matched_entity(match, box, group_name, context, match_path) for match, match_path in matches]
            if box is None or not matches:
                context.keep((region_path, "region"), region.get("region"))
    return entities


def _objects(
    source: Json, key: str, context: Context, path: JsonPath, *read_elsewhere: str
) -> Iterable[tuple[Json, JsonPath]]:
    """Return the objects in the list `key` with their paths; the other keys of `source` are kept in `other`."""
    for name, value in source.items():
        if name != key and name not in ("_type", *read_elsewhere):
            context.keep((path, name), value)
    return read_list(source.get(key), lambda item, _context, item_path: (item, item_path), context, (path, key)) or []


def _matched_entity(match: Json, box: Box | None, group_name: Any, context: Context, path: JsonPath) -> Json:
    fields = _MATCH.read(match, context, path)
    matched: Json = fields.pop("entity", {"types": [], "attributions": [], "origin": context.origin})
    matched.update(fields)
    if box is not None:
        matched["box"] = box
    if type(group_name) is str:
        matched["group"] = group_name
    return matched


_MATCH = Shape({"matchConfidence": ("confidence", float)}, objects={"entity": ("entity", entity)})
