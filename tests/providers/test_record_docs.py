"""The documentation of the record names every field that there is, and none that there isn't."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.schema import json_schema


def documented(text: str) -> dict[str, str]:
    """Return each section of the document by its heading."""
    parts = re.split(r"^## (\w+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def described() -> dict[str, set[str]]:
    """Return the fields of every object of the record, as its JSON Schema has them."""
    schema = json_schema()
    found = {name: set(part["properties"]) for name, part in schema["$defs"].items()}
    return {"Record": set(schema["properties"]), **found}


def test_every_field_is_documented(project: Path) -> None:
    """Each object has a section, and in it each of its fields, with where it comes from."""
    sections = documented((project / "docs" / "record.md").read_text())
    sections["Record"] += sections["Insights"]
    sections["AggregateOffer"] += sections["Offer"]
    missing = [
        f"{name}.{field}"
        for name, fields in described().items()
        for field in fields
        if f"`{field}`" not in sections.get(name, "")
    ]
    assert missing == []


def test_nothing_else_is_documented(project: Path) -> None:
    """A section stands for an object that there is; the first cells of its table are fields that there are."""
    fields = described()
    fields["Insights"] = fields["Record"]
    for name, text in documented((project / "docs" / "record.md").read_text()).items():
        cells = re.findall(r"^\| (`[^|]*?) \|", text, flags=re.MULTILINE)
        assert {field for cell in cells for field in re.findall(r"`(\w+)`", cell)} <= fields[name]
