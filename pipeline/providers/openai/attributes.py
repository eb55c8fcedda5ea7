"""The answers to the user's own questions: what isn't known is left out, and the rest has to match the schema."""

from __future__ import annotations

from typing import Any, Final

Json = dict[str, Any]
_MAX_CHARS: Final = 300


class AttributeChecker:
    """Checks attributes against a JSON Schema."""

    def __init__(self, schema: Json) -> None:
        from jsonschema import Draft202012Validator  # noqa: PLC0415 - takes 60 ms, which most jobs need not wait for

        self._validator = Draft202012Validator(schema)

    def __call__(self, attributes: Any) -> Json | str:
        """Return the attributes without what is null, or say why they don't match.

        A null is how a model says that it doesn't know; where the schema itself asks for one, it is kept.
        """
        if type(attributes) is not dict:
            return f"there is no object {'attributes'!r}" if attributes is None else "the attributes are no object"
        known: Json = without_nulls(attributes)
        if self._validator.is_valid(known):
            return known
        if self._validator.is_valid(attributes):
            return dict(attributes)
        from jsonschema.exceptions import best_match  # noqa: PLC0415 - likewise

        error = best_match(self._validator.iter_errors(known))
        return f"{error.message[:_MAX_CHARS]} (at {error.json_path})"


def without_nulls(value: Any) -> Any:
    """Return a JSON value without the keys whose value is null."""
    if isinstance(value, dict):
        return {name: without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value
