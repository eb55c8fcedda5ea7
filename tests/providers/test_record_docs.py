"""The documentation of the record names every field of the schema, and no others."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from pipeline.schema import Insights, json_schema


def documented(text: str) -> dict[str, str]:
    """Return each section of the document by its heading."""
    parts = re.split(r"^## (\w+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def schema_fields() -> dict[str, set[str]]:
    """Return the fields of every object in the JSON Schema of the record."""
    schema = json_schema()
    parts = {name: set(part["properties"]) for name, part in schema["$defs"].items()}
    return {"Record": set(schema["properties"]), **parts}


def test_every_field_is_documented(project: Path) -> None:
    """Each object has a section that names each of its fields."""
    sections = documented((project / "docs" / "record.md").read_text())
    sections["Record"] += sections["Insights"]
    sections["AggregateOffer"] += sections["Offer"]
    missing = [
        f"{name}.{field}"
        for name, fields in schema_fields().items()
        for field in fields
        if f"`{field}`" not in sections.get(name, "")
    ]
    assert missing == []


def test_nothing_else_is_documented(project: Path) -> None:
    """Each section is about an object of the schema, and the first cells of its table are fields of that object."""
    fields = schema_fields()
    fields["Insights"] = fields["Record"]
    for name, text in documented((project / "docs" / "record.md").read_text()).items():
        cells = re.findall(r"^\| (`[^|]*?) \|", text, flags=re.MULTILINE)
        assert {field for cell in cells for field in re.findall(r"`(\w+)`", cell)} <= fields[name]


def without_required(schema: Any) -> Any:
    """Return a JSON Schema that asks for no field, so that a shortened example can be checked."""
    if isinstance(schema, dict):
        return {name: without_required(value) for name, value in schema.items() if name != "required"}
    return [without_required(value) for value in schema] if isinstance(schema, list) else schema


def test_the_example_is_a_record(project: Path) -> None:
    """What the example shows are fields of a record, each with a value of its type; `[ ... ]` stands for a list."""
    page = (project / "docs" / "record.md").read_text()
    example = page.partition("```json\n")[2].partition("```")[0].replace("[ ... ]", "[]")
    errors = list(Draft202012Validator(without_required(json_schema())).iter_errors(json.loads(example)))
    assert [error.message for error in errors] == []


def test_which_provider_fills_which_field_is_told_of_each(project: Path) -> None:
    """The table has every field of Insights, in the order of the schema."""
    page = (project / "docs" / "record.md").read_text()
    table = page.partition("## Which provider fills which field\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE) == list(Insights.__annotations__)
