"""What a run and its decoder processes send each other.

A decoder process reads files of strangers and may be taken over by one. So what it sends is checked, never unpickled.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import Any

import orjson
from pydantic import TypeAdapter

from pipeline.errors import PrepareError
from pipeline.prepare.fit import MEDIA_TYPES
from pipeline.prepare.fit_rules import FitRules
from pipeline.records import Prepared

MAX_MESSAGE_BYTES = 65_536
START = b""  # the run has the memory that a picture needs
_SCALARS = tuple(field.name for field in fields(Prepared) if field.name not in {"source", "data", "thumbnail"})
_CODE = re.compile(r"[a-z][a-z-]{1,40}")
_MAX_TEXT_CHARS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a decoder process works: its rules, and the seconds that it may take for a picture."""

    rules: FitRules
    timeout: float


def pack_settings(settings: Settings) -> bytes:
    """Return settings as a message."""
    rules = asdict(settings.rules) | {"formats": sorted(settings.rules.formats)}
    return orjson.dumps({"rules": rules, "timeout": settings.timeout})


def unpack_settings(message: bytes) -> Settings:
    """Return the settings of a message."""
    values = orjson.loads(message)
    rules = values["rules"] | {"formats": frozenset(values["rules"]["formats"])}
    return Settings(rules=FitRules(**rules), timeout=values["timeout"])


def pack_needed_bytes(needed: int) -> bytes:
    """Return the message that a picture must be decoded, and how much memory that takes."""
    return orjson.dumps({"needed_bytes": needed})


def pack_failure(error: PrepareError) -> bytes:
    """Return the message that a picture can't be prepared."""
    text = str(error)[:_MAX_TEXT_CHARS].encode("utf-8", "replace").decode()
    return orjson.dumps({"code": error.code, "message": text})


def pack_prepared(prepared: Prepared) -> bytes:
    """Return the message of a prepared picture; its bytes follow in a message of their own, unless it passed."""
    values = {name: getattr(prepared, name) for name in _SCALARS}
    thumbnail = b64encode(prepared.thumbnail).decode()
    return orjson.dumps(values | {"source": asdict(prepared.source), "thumbnail": thumbnail})


def unpack_failure(message: Mapping[str, Any]) -> PrepareError:
    """Return the error of a message; raises ValueError where it is none."""
    code, text = str(message.get("code")), str(message.get("message"))
    if _CODE.fullmatch(code) is None or len(text) > _MAX_TEXT_CHARS:
        raise ValueError("not the message of a failure")
    return PrepareError(code, text)


def unpack_prepared(message: Mapping[str, Any], data: bytes) -> Prepared:
    """Return the prepared picture of a message; raises ValueError where it is none."""
    thumbnail = b64decode(str(message.get("thumbnail", "")), validate=True)
    prepared = _prepared_type().validate_python({**message, "data": data, "thumbnail": thumbnail})
    if prepared.media_type != MEDIA_TYPES.get(prepared.format):
        raise ValueError("not the message of a picture")
    return prepared


@cache
def _prepared_type() -> TypeAdapter[Prepared]:
    return TypeAdapter(Prepared)
