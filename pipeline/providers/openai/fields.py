"""The user's own questions: a table of fields, or a JSON Schema from a file; what their answers have to look like."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from pipeline.config import Section
from pipeline.providers.openai.strict_schema import strict_schema

Json = dict[str, Any]
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", re.ASCII)
_MOST_FIELDS: Final = 200


def _named(fields: Mapping[str, FieldSettings]) -> Mapping[str, FieldSettings]:
    for name in fields:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a field: use letters, digits, _ and -, at most 64")
    return fields


class FieldSettings(Section):
    """One question: what is asked, and what kind of value answers it. A text alone is the description of a string."""

    type: Literal["string", "number", "integer", "boolean", "array", "object"] = "string"
    description: str = Field(default="", max_length=4096)
    choices: tuple[str, ...] = Field(default=(), max_length=1000)
    items: FieldSettings | None = None
    fields: Annotated[dict[str, FieldSettings], AfterValidator(_named)] = Field(
        default_factory=dict, max_length=_MOST_FIELDS
    )
    required: bool = False

    @model_validator(mode="before")
    @classmethod
    def _described(cls, value: object) -> object:
        return {"description": value} if isinstance(value, str) else value

    @field_validator("choices", "items", "fields")
    @classmethod
    def _fits_the_type(cls, value: object, info: ValidationInfo) -> object:
        kind = {"choices": "string", "items": "array", "fields": "object"}[info.field_name or ""]
        if value and info.data.get("type", kind) != kind:
            raise ValueError(f'belongs to type = "{kind}"')
        if not value and kind == "object" and info.data.get("type") == "object":
            raise ValueError("must name at least one field of the object")
        return value

    def schema_of_value(self) -> Json:
        """Return the JSON Schema of an answer."""
        schema: Json = {"type": self.type}
        if self.description:
            schema["description"] = self.description
        if self.choices:
            schema["enum"] = list(self.choices)
        if self.type == "array":
            schema["items"] = (self.items or FieldSettings()).schema_of_value()
        return schema | schema_of_fields(self.fields) if self.type == "object" else schema


Fields = Annotated[dict[str, FieldSettings], Field(max_length=_MOST_FIELDS), AfterValidator(_named)]


def schema_of_fields(fields: Mapping[str, FieldSettings]) -> Json:
    """Return the JSON Schema of an object with these fields; those that aren't required may be absent."""
    return {
        "type": "object",
        "properties": {name: field.schema_of_value() for name, field in fields.items()},
        "required": [name for name, field in fields.items() if field.required],
        "additionalProperties": False,
    }


def check_schema(text: str) -> str:
    """Return the text of a JSON Schema that a model can be held to; raises ValueError for any other."""
    if not text:
        return text
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - takes 60 ms, which most jobs need not wait for
    from jsonschema.exceptions import SchemaError  # noqa: PLC0415 - likewise

    try:
        schema = json.loads(text)
    except json.JSONDecodeError as exc:
        raise ValueError(f"is not valid JSON: {exc}") from None
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise ValueError('must be a JSON Schema whose type is "object"')
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as exc:
        raise ValueError(f"is not a valid JSON Schema: {exc.message} (at {exc.json_path})") from None
    strict_schema(schema)
    return text
