"""Read ImageKnowledge, the answer of Visual Search: what its tags hold, each in its place (references 002, 003)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pipeline.providers.bing import entities, text
from pipeline.providers.bing.actions import MODULES, action_type, add_items, read_action, read_results
from pipeline.providers.bing.boxes import quadrilateral
from pipeline.providers.bing.objects import image, image_url
from pipeline.providers.bing.shapes import At, Context, Json, Shape, read_list
from pipeline.schema import Box

_BOXES = Shape(converted={"queryRectangle": ("box", quadrilateral), "displayRectangle": ("display_box", quadrilateral)})


def _strings(value: Any, context: Context, at: At) -> list[str] | None:
    return value if type(value) is list and {*map(type, value)} <= {str} else None


_TAG = Shape(
    {"displayName": ("name", str), "confidence": ("confidence", float), "score": ("confidence", float)},
    objects={"boundingBox": ("boxes", _BOXES.read)},
    converted={"image": ("image_url", image_url), "sources": ("sources", _strings)},
    dropped=("actions",),
)
# A ## tag must not be shown: its thumbnail, a search for its name, is left out (its hot spot likewise, see below).
_TEXT_TAG = Shape(
    {"displayName": ("name", str)},
    objects={"boundingBox": ("boxes", _BOXES.read)},
    converted={"sources": ("sources", _strings)},
    dropped=("actions", "image"),
)
_OWN_TAG = Shape({"displayName": ("name", str)}, dropped=("actions",))


_TYPE_KEYS = frozenset({"_type", "actionType"})  # an action of which only these are left says nothing more


@dataclass(frozen=True, slots=True)
class _Gathered:
    """What the tags read so far hold."""

    insights: Json
    context: Context
    words: text.Words = field(default_factory=text.Words)


@dataclass(frozen=True, slots=True)
class _Tag:
    """What an action takes over from its tag."""

    is_text: bool
    box: Box | None = None
    sources: list[str] = field(default_factory=list)


def read_tags(tags: list[Any], insights: Json, context: Context, at: At) -> None:
    """Add everything the tags hold to `insights`."""
    gathered = _Gathered(insights, context)
    for tag, place in read_list(tags, lambda tag, _context, place: (tag, place), context, at) or ():
        name = tag.get("displayName", "")
        if type(name) is str and (not name or name.startswith("##")):
            _read_nameless_tag(tag, gathered, place)
        else:
            _read_named_tag(tag, gathered, place)
    found = gathered.words.text()
    if found is not None:
        insights["text"] = found


def _actions(tag: Json, context: Context, at: At) -> list[tuple[Json, At]]:
    """Return a tag's actions, each with its place."""
    return (
        read_list(tag.get("actions"), lambda action, _context, place: (action, place), context, (at, "actions")) or []
    )


def _read_named_tag(tag: Json, gathered: _Gathered, at: At) -> None:
    """Read a tag that names something in the picture; the results of its actions stay with it."""
    found = {"name": "", "sources": [], "actions": [], **_TAG.read(tag, gathered.context, at)}
    found |= found.pop("boxes", {})
    found["origin"] = gathered.context.origin
    for action, place in _actions(tag, gathered.context, at):
        found["actions"].append(_tag_action(action, found.get("box"), gathered, place))
    gathered.insights["tags"].append(found)


def _tag_action(action: Json, box: Box | None, gathered: _Gathered, at: At) -> Json:
    kind, data, context = action_type(action), action.get("data"), gathered.context
    if kind == "Entity":
        gathered.insights["entities"].append(entities.from_action(action, box, context, at))
    if type(data) is not dict or (kind != "Entity" and kind not in MODULES):
        return read_action(action, context, at)
    read = read_action({key: value for key, value in action.items() if key != "data"}, context, at)
    if kind in MODULES:
        read["results"] = read_results(MODULES[kind], data, context, (at, "data"))
    return read


def _read_nameless_tag(tag: Json, gathered: _Gathered, at: At) -> None:
    """Read the tag of the whole picture (its name is empty), or one of the ## tags, whose names must not be shown.

    What an action holds goes to its place in the insights; an action of which something is left is listed itself.
    """
    is_text = bool(tag.get("displayName"))
    found = (_TEXT_TAG if is_text else _OWN_TAG).read(tag, gathered.context, at)
    facts = _Tag(is_text, found.get("boxes", {}).get("box"), found.get("sources", []))
    for action, place in _actions(tag, gathered.context, at):
        rest = dict(action)
        _TAKERS.get(action_type(action), _take_module)(rest, facts, gathered, place)
        if rest.keys() <= _TYPE_KEYS:
            continue
        left = read_action(rest, gathered.context, place)
        if not left.keys() <= {"type", "kind"}:
            gathered.insights["actions"].append(left)


def _take_module(rest: Json, _tag: _Tag, gathered: _Gathered, at: At) -> None:
    module = MODULES.get(action_type(rest))
    if module is None or type(rest.get("data")) is not dict:
        return
    found = module.shape.read(rest.pop("data"), gathered.context, (at, "data"))
    add_items(gathered.insights, module.insight, found)


def _take_sizes(rest: Json, tag: _Tag, gathered: _Gathered, at: At) -> None:
    """Take MoreSizes, which carries the picture itself with the number of its sizes, or a list of them."""
    if type(rest.get("image")) is dict:
        gathered.insights["sizes"].append(image(rest.pop("image"), gathered.context, (at, "image")))
    _take_module(rest, tag, gathered, at)


def _take_image(rest: Json, _tag: _Tag, gathered: _Gathered, at: At) -> None:
    if type(rest.get("image")) is dict and "image" not in gathered.insights:
        gathered.insights["image"] = image(rest.pop("image"), gathered.context, (at, "image"))


def _take_best_query(rest: Json, _tag: _Tag, gathered: _Gathered, _at: At) -> None:
    names = {"displayName": "text", "webSearchUrl": "web_search_url", "serviceUrl": "search_url"}
    if "best_query" not in gathered.insights:
        found = {name: rest.pop(key) for key, name in names.items() if type(rest.get(key)) is str}
        gathered.insights["best_query"] = {**found, "origin": gathered.context.origin}


def _take_entity(rest: Json, tag: _Tag, gathered: _Gathered, at: At) -> None:
    gathered.insights["entities"].append(entities.from_action(rest, tag.box, gathered.context, at))
    if type(rest.get("data")) is dict:
        del rest["data"]


def _take_recognition(rest: Json, tag: _Tag, gathered: _Gathered, at: At) -> None:
    if type(rest.get("data")) is dict:
        text.add_recognition(gathered.words, rest.pop("data"), tag.box, gathered.context, (at, "data"))
        text.add_sources(gathered.words, tag.sources)


def _take_whole_text(rest: Json, tag: _Tag, gathered: _Gathered, _at: At) -> None:
    """Take TextResults of a ## tag; in the picture's own tag it is a link to a search."""
    if tag.is_text and type(rest.get("displayName")) is str:
        text.add_whole(gathered.words, rest.pop("displayName"), tag.box)
        text.add_sources(gathered.words, tag.sources)


def _take_uri(rest: Json, tag: _Tag, gathered: _Gathered, _at: At) -> None:
    if type(rest.get("url")) is str:
        gathered.insights["uris"].append(text.uri(rest.pop("url"), tag.box, tag.sources))


_TAKERS: dict[str, Callable[[Json, _Tag, _Gathered, At], None]] = {
    "MoreSizes": _take_sizes,
    "ImageById": _take_image,
    "BestRepresentativeQuery": _take_best_query,
    "Entity": _take_entity,
    "TextRecognition": _take_recognition,
    "TextResults": _take_whole_text,
    "Uri": _take_uri,
}
