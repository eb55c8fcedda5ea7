"""What the X-Robots-Tag headers of a picture say about its use by AI."""

from __future__ import annotations

import re
from collections.abc import Iterable

_FORBIDDING = {"noai", "noimageai"}
# "googlebot: noindex, noai" is for one robot; "unavailable_after: ..." is a rule of its own.
_FOR_ONE = re.compile(r"\s*([A-Za-z0-9_.*-]+)\s*:")
_RULES_WITH_VALUES = {"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"}


def forbids_ai(headers: Iterable[str], user_agent: str) -> bool:
    """Return True if one of the `X-Robots-Tag` headers says noai or noimageai, to everyone or to `user_agent`."""
    return any(_forbids(header.lower(), user_agent.lower()) for header in headers)


def _forbids(header: str, user_agent: str) -> bool:
    """Read one header; a robot's name holds for the rules behind it, up to the next name."""
    is_ours = True
    for part in header.split(","):
        name = _FOR_ONE.match(part)
        if name is not None and name[1] not in _RULES_WITH_VALUES:
            is_ours = name[1] == "*" or user_agent.startswith(name[1])
            part = part[name.end() :]
        if is_ours and part.strip() in _FORBIDDING:
            return True
    return False
