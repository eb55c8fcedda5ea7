"""What is wrong with a config, in sentences: the key path, the reason, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from pipeline.config.section import Section

_SHOWN_CHARS = 80
_SECRET = re.compile(r"key|secret|token|passw|auth|credential", re.IGNORECASE)
# A misplaced key is written here most often, so these values are never shown.
_CONFIDENTIAL = {"endpoint", "pacer", "base_url", "value", "value_env", "webhook", "smtp"}

_SENTENCES = {
    "missing": "is missing",
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "tuple_type": 'must be a list such as ["a", "b"]',
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must look like {pattern}",
    "too_long": "must have at most {max_length} entries",
    "value_error": "{error}",
}


def explain(errors: Iterable[ErrorDetails], model: type[Section]) -> list[str]:
    """Return one sentence for each problem that `model` reports."""
    return [_sentence(dict(item), model) for item in errors]


def no_such_provider(name: object, providers: Iterable[str]) -> str:
    """Say which names [provider] may have."""
    known = list(providers)
    if not isinstance(name, str):
        return f"provider.name: must be one of {_listed(known)}"
    return f"provider.name: there is no provider {_shown(name)}{_hint(name, known)}"


def _sentence(item: Mapping[str, Any], model: type[Section]) -> str:
    keys = [key for key in item["loc"] if isinstance(key, str)]
    where = _path(item["loc"])
    if item["type"] == "extra_forbidden":
        return f"{where}: {_unknown(keys, item['input'], model)}"
    template = _SENTENCES.get(item["type"], item["msg"])
    said = template.format_map(item.get("ctx", {})) if item["type"] in _SENTENCES else template
    return f"{where}: {said}{_found(keys, item)}"


def _unknown(keys: list[str], value: object, model: type[Section]) -> str:
    is_table = isinstance(value[0] if isinstance(value, tuple) and value else value, dict)
    if _SECRET.search(keys[-1]) and not is_table:
        return (
            "is not known, and a key may not stand in a config: put it into an environment variable and name that in"
            f" {model.key_place}"
        )
    what = "there is no such table" if is_table else "there is no such key"
    return what + _hint(keys[-1], _fields(model, keys[:-1])) + _elsewhere(keys, model)


def _elsewhere(keys: list[str], model: type[BaseModel]) -> str:
    """Name the tables that do have a key of that name."""
    held = [name for name, field in model.model_fields.items() if keys[-1] in _fields(_table(field.annotation), [])]
    return f" (there is {_listed(f'{name}.{keys[-1]}' for name in held)})" if held else ""


def _fields(model: type[BaseModel] | None, keys: list[str]) -> Iterable[str]:
    """Return the keys of the table that lies at `keys` below a model; nothing where no table lies there."""
    for key in keys:
        field = model.model_fields.get(key) if model else None
        model = _table(field.annotation) if field else None
    return model.model_fields if model else ()


def _table(annotation: object) -> type[BaseModel] | None:
    """Return the model of a value that is a table, or may be one."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _hint(word: str, known: Iterable[str]) -> str:
    choices = list(known)
    close = get_close_matches(word, choices, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known are {_listed(choices)}" if choices else ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _path(loc: Iterable[str | int]) -> str:
    """Write a place in the config as a.b[0]."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")


def _found(keys: list[str], item: Mapping[str, Any]) -> str:
    """Show the value that is wrong, unless a secret may have strayed there."""
    value = item["input"]
    if item["type"] == "missing" or (keys and (_SECRET.search(keys[-1]) or keys[-1] in _CONFIDENTIAL)):
        return ""
    if isinstance(value, (str, int, float)):
        return f" (it is {_shown(value)})"
    return ""


def _shown(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"
