"""The published contract of the protocol in machine-readable form, where it lies beside this checkout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

_VISUAL = frozenset({"ImageKnowledge", "ErrorResponse"})


class _Swagger:
    """One published contract. `_type` is never required: recorded responses leave it out, against the contract."""

    def __init__(self, path: Path) -> None:
        self._definitions = json.loads(path.read_text(encoding="utf-8-sig"))["definitions"]
        for definition in self._definitions.values():
            if "_type" in definition.get("required", []):
                definition["required"] = [name for name in definition["required"] if name != "_type"] or None
            if definition.get("required", True) is None:
                del definition["required"]

    def validate(self, value: object, name: str) -> None:
        """Raise ValidationError if a value does not match its definition."""
        schema = {"$ref": f"#/definitions/{name}", "definitions": self._definitions}
        jsonschema.Draft4Validator(schema).validate(value)


class Contract:
    """Both published contracts; a test that needs them is skipped where they aren't there."""

    def __init__(self, project: Path) -> None:
        folder = project.parent / "shared" / "reference" / "swagger"
        if not folder.is_dir():
            pytest.skip("../shared/reference/swagger is not beside this checkout")
        self._visual, self._search = (_Swagger(folder / f"{name}.json") for name in ("VisualSearch", "ImageSearch"))

    def validate(self, response: dict[str, Any]) -> None:
        """Raise ValidationError unless a response is valid for its type, and each of its actions for its own."""
        contract = self._visual if response["_type"] in _VISUAL else self._search
        contract.validate(response, response["_type"])
        for tag in response.get("tags", []):
            for action in tag["actions"]:
                contract.validate(action, action.get("_type", "ImageAction"))
