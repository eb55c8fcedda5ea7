"""Read the tags of ImageKnowledge, the Visual Search response, into insights.

Sources: Visual Search query and response guides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pipeline.providers.bing.actions import MODULES, action_type, add_items, read_action, read_results
from pipeline.providers.bing.boxes import quadrilateral
from pipeline.providers.bing.common_objects import image, image_url
from pipeline.providers.bing.entities import entity_of_action
from pipeline.providers.bing.shapes import Context, Json, JsonPath, Shape, read_list
from pipeline.providers.bing.text_recognition import RecognisedText, uri
from pipeline.schema import Box

_BOXES = Shape(converted={"queryRectangle": ("box", quadrilateral), "displayRectangle": ("display_box", quadrilateral)})


def _strings(value: Any, context: Context, path: JsonPath) -> list[str] | None:
    return value if type(value) is list and {*map(type, value)} <= {str} else None


_TAG = Shape(
    {"displayName": ("name", str), "confidence": ("confidence", float), "score": ("confidence", float)},
    objects={"boundingBox": ("boxes", _BOXES.read)},
    converted={"image": ("image_url", image_url), "sources": ("sources", _strings)},
    dropped=("actions",),
)
# A ## tag must not be shown. Its thumbnail, which searches for its name, and its display box are left out.
_TEXT_TAG = Shape(
    {"displayName": ("name", str)},
    objects={"boundingBox": ("boxes", _BOXES.read)},
    converted={"sources": ("sources", _strings)},
    dropped=("actions", "image"),
)
_PICTURE_TAG = Shape({"displayName": ("name", str)}, dropped=("actions",))
_TYPE_KEYS = frozenset({"_type", "actionType"})  # an action with no other keys left has been read completely


@dataclass(frozen=True, slots=True)
class _Collector:
    """Collects the content of all tags of one response."""

    insights: Json
    context: Context
    text: RecognisedText = field(default_factory=RecognisedText)


@dataclass(frozen=True, slots=True)
class _TagFacts:
    """What the actions of an unnamed tag need to know about it."""

    is_text: bool
    box: Box | None = None
    sources: list[str] = field(default_factory=list)


def read_tags(tags: list[Any], insights: Json, context: Context, path: JsonPath) -> None:
    """Add the content of all tags to `insights`."""
    collector = _Collector(insights, context)
    for tag, tag_path in read_list(tags, _with_path, context, path) or ():
        name = tag.get("displayName", "")
        if type(name) is str and (not name or name.startswith("##")):
            _read_unnamed_tag(tag, collector, tag_path)
        else:
            _read_named_tag(tag, collector, tag_path)
    text = collector.text.as_record()
    if text is not None:
        insights["text"] = text


def _with_path(item: Json, _context: Context, path: JsonPath) -> tuple[Json, JsonPath]:
    return item, path


def _actions(tag: Json, context: Context, path: JsonPath) -> list[tuple[Json, JsonPath]]:
    """Return a tag's actions with their paths."""
    return read_list(tag.get("actions"), _with_path, context, (path, "actions")) or []


def _read_named_tag(tag: Json, collector: _Collector, path: JsonPath) -> None:
    """Read a tag that names something in the picture; the results of its actions stay with it."""
    fields = {"name": "", "sources": [], "actions": [], **_TAG.read(tag, collector.context, path)}
    fields |= fields.pop("boxes", {})
    fields["origin"] = collector.context.origin
    for action, action_path in _actions(tag, collector.context, path):
        fields["actions"].append(_tag_action(action, fields.get("box"), collector, action_path))
    collector.insights["tags"].append(fields)


def _tag_action(action: Json, box: Box | None, collector: _Collector, path: JsonPath) -> Json:
    kind, data, context = action_type(action), action.get("data"), collector.context
    if kind == "Entity":
        collector.insights["entities"].append(entity_of_action(action, box, context, path))
    if type(data) is not dict or (kind != "Entity" and kind not in MODULES):
        return read_action(action, context, path)
    fields = read_action({key: value for key, value in action.items() if key != "data"}, context, path)
    if kind in MODULES:
        fields["results"] = read_results(MODULES[kind], data, context, (path, "data"))
    return fields


def _read_unnamed_tag(tag: Json, collector: _Collector, path: JsonPath) -> None:
    """Read the tag of the whole picture, whose name is empty, or a ## tag, whose name must not be shown.

    The content of each action goes to its field of the insights. An action that holds more is listed in `actions`.
    """
    is_text = bool(tag.get("displayName"))
    fields = (_TEXT_TAG if is_text else _PICTURE_TAG).read(tag, collector.context, path)
    facts = _TagFacts(is_text, fields.get("boxes", {}).get("box"), fields.get("sources", []))
    for action, action_path in _actions(tag, collector.context, path):
        unread = dict(action)
        _ACTION_READERS.get(action_type(action), _read_module)(unread, facts, collector, action_path)
        if unread.keys() <= _TYPE_KEYS:
            continue
        leftover = read_action(unread, collector.context, action_path)
        if not leftover.keys() <= {"type", "kind"}:
            collector.insights["actions"].append(leftover)


# The readers below add an action's content to the insights, and remove what they have read from `unread`.


def _read_module(unread: Json, _tag: _TagFacts, collector: _Collector, path: JsonPath) -> None:
    module = MODULES.get(action_type(unread))
    if module is None or type(unread.get("data")) is not dict:
        return
    results = module.shape.read(unread.pop("data"), collector.context, (path, "data"))
    add_items(collector.insights, module.insight, results)


def _read_sizes(unread: Json, tag: _TagFacts, collector: _Collector, path: JsonPath) -> None:
    """Read MoreSizes, which has either the picture itself with the number of its sizes, or a list of them."""
    if type(unread.get("image")) is dict:
        collector.insights["sizes"].append(image(unread.pop("image"), collector.context, (path, "image")))
    _read_module(unread, tag, collector, path)


def _read_image(unread: Json, _tag: _TagFacts, collector: _Collector, path: JsonPath) -> None:
    if type(unread.get("image")) is dict and "image" not in collector.insights:
        collector.insights["image"] = image(unread.pop("image"), collector.context, (path, "image"))


def _read_best_query(unread: Json, _tag: _TagFacts, collector: _Collector, _path: JsonPath) -> None:
    names = {"displayName": "text", "webSearchUrl": "web_search_url", "serviceUrl": "search_url"}
    if "best_query" not in collector.insights:
        query = {name: unread.pop(key) for key, name in names.items() if type(unread.get(key)) is str}
        collector.insights["best_query"] = {**query, "origin": collector.context.origin}


def _read_entity(unread: Json, tag: _TagFacts, collector: _Collector, path: JsonPath) -> None:
    collector.insights["entities"].append(entity_of_action(unread, tag.box, collector.context, path))
    if type(unread.get("data")) is dict:
        del unread["data"]


def _read_text_regions(unread: Json, tag: _TagFacts, collector: _Collector, path: JsonPath) -> None:
    if type(unread.get("data")) is dict:
        collector.text.add_regions(unread.pop("data"), tag.box, collector.context, (path, "data"))
        collector.text.add_sources(tag.sources)


def _read_whole_text(unread: Json, tag: _TagFacts, collector: _Collector, _path: JsonPath) -> None:
    """Read TextResults of a ## tag; in the tag of the whole picture it is a link to a search."""
    if tag.is_text and type(unread.get("displayName")) is str:
        collector.text.add_whole_text(unread.pop("displayName"), tag.box)
        collector.text.add_sources(tag.sources)


def _read_uri(unread: Json, tag: _TagFacts, collector: _Collector, _path: JsonPath) -> None:
    if type(unread.get("url")) is str:
        collector.insights["uris"].append(uri(unread.pop("url"), tag.box, tag.sources))


_ACTION_READERS: dict[str, Callable[[Json, _TagFacts, _Collector, JsonPath], None]] = {
    "MoreSizes": _read_sizes,
    "ImageById": _read_image,
    "BestRepresentativeQuery": _read_best_query,
    "Entity": _read_entity,
    "TextRecognition": _read_text_regions,
    "TextResults": _read_whole_text,
    "Uri": _read_uri,
}
