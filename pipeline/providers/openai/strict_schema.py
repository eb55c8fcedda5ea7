"""From any JSON Schema to the part of it that models are held to: every property required, no others, few keywords.

Source: OpenAI's guide to structured outputs, and what its client turns schemas into. Keywords that only bound a value
are said in the description instead: some models fail at them, and the answer is checked against the whole schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Json = dict[str, Any]
_KEPT: Final = ("type", "description", "enum", "const")
_SAID: Final = (
    "format", "pattern", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
    "multipleOf", "minItems", "maxItems", "uniqueItems", "default",
)  # fmt: skip
_REFUSED: Final = (
    "allOf", "not", "if", "then", "else", "patternProperties", "prefixItems", "contains", "dependentSchemas",
    "dependentRequired", "propertyNames", "unevaluatedProperties", "unevaluatedItems", "$dynamicRef",
)  # fmt: skip
DEFINITIONS: Final = ("$defs", "definitions")
_OURS: Final = tuple(f"#/{name}/" for name in DEFINITIONS)


def strict_schema(schema: Mapping[str, Any]) -> Json:
    """Return what a model can be held to of a schema; raises ValueError where that would be something else."""
    strict = _strict(schema, "$")
    for name in DEFINITIONS:
        if name in schema:
            strict[name] = {key: _strict(inner, f"$.{name}.{key}") for key, inner in schema[name].items()}
    return strict


def _strict(schema: Any, path: str) -> Json:
    if schema is True or schema is False:
        raise ValueError(f"must say at {path} what a value is: true and false say nothing to a model")
    if refused := next((name for name in _REFUSED if name in schema), ""):
        raise ValueError(f"uses {refused} at {path}, which models can't be held to")
    if "$ref" in schema:
        return _reference(schema["$ref"], path)
    strict = {name: schema[name] for name in _KEPT if name in schema}
    if said := [f"{name}: {schema[name]}" for name in _SAID if name in schema]:
        strict["description"] = " ".join(filter(None, (schema.get("description", ""), f"({', '.join(said)})")))
    choices = schema.get("anyOf", schema.get("oneOf"))
    if choices is not None:
        strict["anyOf"] = [_strict(choice, f"{path}.anyOf[{place}]") for place, choice in enumerate(choices)]
    elif not strict.keys() & {"type", "enum", "const"}:
        raise ValueError(f"names no type at {path}")
    return strict | _array(schema, path) | _object(schema, path)


def _reference(target: str, path: str) -> Json:
    if not target.startswith(_OURS):
        raise ValueError(f"refers at {path} to {target}; only #/$defs/... can be referred to")
    return {"$ref": target}


def _array(schema: Mapping[str, Any], path: str) -> Json:
    if not _may_be(schema, "array"):
        return {}
    if "items" not in schema:
        raise ValueError(f"says no items of the array at {path}")
    return {"items": _strict(schema["items"], f"{path}.items")}


def _object(schema: Mapping[str, Any], path: str) -> Json:
    if not _may_be(schema, "object"):
        return {}
    properties = schema.get("properties")
    if not properties:
        raise ValueError(f"names no properties of the object at {path}")
    required = schema.get("required", ())
    strict = {name: _strict(inner, f"{path}.properties.{name}") for name, inner in properties.items()}
    return {
        "properties": {name: inner if name in required else nullable(inner) for name, inner in strict.items()},
        "required": list(strict),
        "additionalProperties": False,
    }


def _may_be(schema: Mapping[str, Any], kind: str) -> bool:
    types = schema.get("type", ())
    return kind == types or (isinstance(types, list) and kind in types)


def nullable(schema: Mapping[str, Any]) -> Json:
    """Return a schema that allows null as well: in a strict schema that is how a value can be left out."""
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    if "type" not in schema:
        return {"anyOf": [dict(schema), {"type": "null"}]}
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    changed = {"type": [*types, *(["null"] if "null" not in types else [])]}
    if "enum" in schema and None not in schema["enum"]:
        changed["enum"] = [*schema["enum"], None]
    return {**schema, **changed}
