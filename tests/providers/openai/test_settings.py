"""The [provider] table of a model: its own fields, files whose text is a setting, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from pipeline import load_config
from pipeline.errors import ConfigError
from pipeline.providers.openai.strict_schema import strict_schema
from pipeline.schema import json_schema
from tests.providers.openai.conftest import make
from tests.providers.openai.fake_service import _check_strict

CONFIG = """
[manifest]
path = "m.csv"
[provider]
name = "openai"
model = "gpt-4.1-mini"
{provider}
[output]
dir = "out"
"""
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Shoe",
    "type": "object",
    "$defs": {"colour": {"type": "string", "enum": ["red", "teal"]}},
    "properties": {
        "colour": {"$ref": "#/$defs/colour"},
        "price": {"type": "number", "minimum": 0, "description": "As on the tag"},
        "soles": {"type": "array", "items": {"$ref": "#/$defs/colour"}, "maxItems": 2},
        "maker": {"oneOf": [{"type": "string"}, {"type": "object", "properties": {"name": {"type": "string"}}}]},
    },
    "required": ["colour"],
}


def load(folder: Path, provider: str, *sets: str) -> Any:
    (folder / "job.toml").write_text(CONFIG.format(provider=provider))
    return load_config(folder / "job.toml", sets).provider


def problems(folder: Path, provider: str) -> list[str]:
    with pytest.raises(ConfigError) as wrong:
        load(folder, provider)
    return wrong.value.problems


def test_fields_of_all_kinds(tmp_path: Path) -> None:
    """A text alone describes a string; a table says the rest."""
    settings = load(
        tmp_path,
        """
        [provider.fields]
        material = "What it is made of"
        colour = { choices = ["red", "teal"], required = true }
        pieces = { type = "integer", description = "How many" }
        is_new = { type = "boolean" }
        tags = { type = "array" }
        [provider.fields.size]
        type = "object"
        fields = { width = { type = "number", required = true }, unit = "cm or in" }
        """,
    )
    assert settings.attributes_schema == {
        "type": "object",
        "properties": {
            "material": {"type": "string", "description": "What it is made of"},
            "colour": {"type": "string", "enum": ["red", "teal"]},
            "pieces": {"type": "integer", "description": "How many"},
            "is_new": {"type": "boolean"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "size": {
                "type": "object",
                "properties": {"width": {"type": "number"}, "unit": {"type": "string", "description": "cm or in"}},
                "required": ["width"],
                "additionalProperties": False,
            },
        },
        "required": ["colour"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        ("fields = { colour = { kind = 1 } }", "provider.fields.colour.kind: there is no such key"),
        ('fields = { colour = { type = "text" } }', "provider.fields.colour.type: must be 'string', 'number'"),
        ('fields = { a = { type = "number", choices = ["1"] } }', "provider.fields.a.choices: belongs to type ="),
        ('fields = { a = { type = "object" } }', "provider.fields.a.fields: must name at least one field"),
        ('fields = { "a b" = "x" }', "provider.fields: 'a b' is no name of a field"),
        ("features = []", "provider.fields_file: or fields is needed where features is empty"),
        ('features = ["colour"]', "provider.features[0]: must be 'caption', 'tags'"),
        ('fields_file = "none.json"', "provider.fields_file: can't be read (No such file or directory)"),
        ('prompt_file = "."', "provider.prompt_file: can't be read (Is a directory)"),
        ('parameters = { model = "x" }', "provider.parameters: must not hold model"),
        ('prices = { input = 1.0 }', "provider.prices.output: is missing"),
        ('prices = { input = 1.0, output = 1.0, currency = "$" }', "provider.prices.currency: must be the code"),
        ('endpoint = "http://models.example.com/v1"', "provider.endpoint: must begin with https://"),
        ('key_header = "Host"', "provider.key_header: is a header that the pipeline sets itself"),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_their_place(tmp_path: Path, provider: str, said: str) -> None:
    """One sentence each, with the path of the key."""
    found = problems(tmp_path, provider)
    assert len(found) == 1
    assert found[0].startswith(said), found


def test_a_model_is_needed(tmp_path: Path) -> None:
    """Nobody else can choose it."""
    (tmp_path / "job.toml").write_text(CONFIG.format(provider="").replace('model = "gpt-4.1-mini"', ""))
    with pytest.raises(ConfigError, match=r"provider\.model: is missing"):
        load_config(tmp_path / "job.toml")


@pytest.mark.parametrize("name", ["fields_file", "prompt_file"])
def test_a_file_excludes_its_table(tmp_path: Path, name: str) -> None:
    """One of both says what is asked."""
    (tmp_path / "f").write_bytes(orjson.dumps(SCHEMA))
    other = 'fields = { a = "b" }' if name == "fields_file" else 'prompt = "x"'
    (said,) = problems(tmp_path, f'{other}\n{name} = "{tmp_path}/f"')
    assert said.startswith(f"provider.{name}: excludes ")


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (b"{", "is not valid JSON"),
        (b"[]", 'must be a JSON Schema whose type is "object"'),
        (b'{"type": "object", "properties": {"a": {"type": "colour"}}}', "is not a valid JSON Schema"),
        (b'{"type": "object", "properties": {"a": {"allOf": []}}}', "is not a valid JSON Schema"),
        (b'{"type": "object", "properties": {"a": {"allOf": [{}]}}}', "uses allOf at $.properties.a"),
        (b'{"type": "object", "properties": {"a": {}}}', "names no type at $.properties.a"),
        (b'{"type": "object", "properties": {"a": true}}', "must say at $.properties.a what a value is"),
        (b'{"type": "object"}', "names no properties of the object at $"),
        (b'{"type": "object", "properties": {"a": {"type": "array"}}}', "says no items of the array at $.properties.a"),
        (b'{"type": "object", "properties": {"a": {"$ref": "#"}}}', "refers at $.properties.a to #"),
        (b"", "is an empty file"),
        (b"\xff\xfe\x00", "is no text in UTF-8"),
    ],
)
def test_a_schema_that_no_model_can_be_held_to(tmp_path: Path, schema: bytes, said: str) -> None:
    """The message names the place in the schema."""
    (tmp_path / "fields.json").write_bytes(schema)
    (found,) = problems(tmp_path, f'fields_file = "{tmp_path}/fields.json"')
    assert found.startswith(f"provider.fields_file: {said}")


def test_a_schema_from_a_file_is_sent_strictly_and_checked_whole(tmp_path: Path) -> None:
    """What bounds a value is said in words to the model, and checked afterwards; definitions move to the root."""
    path = tmp_path / "fields.json"
    path.write_bytes(orjson.dumps(SCHEMA))
    provider = make(fields_file=str(path))
    sent = provider.question.schema
    _check_strict(sent, "()")
    assert sent["$defs"] == SCHEMA["$defs"]
    attributes = sent["properties"]["attributes"]
    assert attributes["required"] == ["colour", "price", "soles", "maker"]
    assert attributes["properties"]["colour"] == {"$ref": "#/$defs/colour"}
    assert attributes["properties"]["price"] == {
        "type": ["number", "null"], "description": "As on the tag (minimum: 0)",
    }  # fmt: skip
    assert provider.check is not None
    assert provider.check({"colour": "red", "price": None, "soles": ["teal"]}) == {"colour": "red", "soles": ["teal"]}
    assert "-1 is less than the minimum of 0" in provider.check({"colour": "red", "price": -1})


def test_a_null_that_the_schema_asks_for_is_kept() -> None:
    """Only what may be absent is left out where it is null."""
    strict = strict_schema({"type": "object", "properties": {"a": {"type": ["string", "null"]}}, "required": ["a"]})
    assert strict["properties"]["a"] == {"type": ["string", "null"]}


def test_a_changed_file_is_another_question(tmp_path: Path) -> None:
    """The text of the file counts, not its name."""
    asked = []
    for name, text in (("a", "We sell mugs."), ("b", "We sell mugs."), ("a", "We sell shoes.")):
        (tmp_path / name).write_text(text)
        settings = load(tmp_path, f'prompt_file = "{tmp_path}/{name}"')
        asked.append((settings.instructions, settings.model_dump(exclude=set(settings.keys_without_effect))))
    assert asked[0] == asked[1] != asked[2]


def test_prices_are_known_of_openais_own_models_at_openai(tmp_path: Path) -> None:
    """Elsewhere another price holds, which the config names."""
    assert load(tmp_path, "").has_prices
    assert not load(tmp_path, 'endpoint = "https://openrouter.ai/api/v1"').has_prices
    assert not load(tmp_path, "", 'provider.model="gpt-99"').has_prices
    assert load(tmp_path, "", 'provider.model="gpt-4.1-nano-2025-04-14"').has_prices
    assert load(tmp_path, "", 'provider.model="gpt-99"', "provider.prices={ input = 1.0, output = 2.0 }").has_prices


def test_a_cap_on_cost_needs_prices(tmp_path: Path) -> None:
    """The message names the key of this provider."""
    (tmp_path / "job.toml").write_text(
        CONFIG.format(provider='endpoint = "https://openrouter.ai/api/v1"') + "[limits]\nmax_cost = 5.0\n"
    )
    with pytest.raises(ConfigError, match=r"max_cost needs provider\.prices"):
        load_config(tmp_path / "job.toml")


def test_a_limit_on_units_is_not_for_models(tmp_path: Path) -> None:
    """They count tokens; a limit that could not be kept is refused."""
    (tmp_path / "job.toml").write_text(CONFIG.format(provider="") + "[limits]\nunits_per_minute = 5\n")
    with pytest.raises(ConfigError, match="the provider 'openai' counts no units; leave units_per_minute out"):
        load_config(tmp_path / "job.toml")
    load_config(tmp_path / "job.toml", ["limits.units_per_minute=0", "limits.tokens_per_minute=5"])


def test_the_schema_of_the_record_has_the_users_fields(tmp_path: Path) -> None:
    """A reference in them leads to their own definitions."""
    schema = json_schema(SCHEMA)
    Draft202012Validator.check_schema(schema)
    attributes = Draft202012Validator({**schema, "required": []})
    assert attributes.is_valid({"attributes": {"colour": "teal"}})
    assert not attributes.is_valid({"attributes": {"colour": "blue"}})
    assert not attributes.is_valid({"attributes": {}})
