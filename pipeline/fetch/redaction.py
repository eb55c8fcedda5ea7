"""Cuts secrets out of what a service sends back, so that an echoed key reaches no file and no message."""

from __future__ import annotations

from collections.abc import Iterable

REMOVED = "[removed]"


class Redactor:
    """Removes the given secrets from texts."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = sorted(filter(None, secrets), key=len, reverse=True)

    def clean(self, text: str) -> str:
        """Return `text` without any secret in it."""
        for secret in self._secrets:
            text = text.replace(secret, REMOVED)
        return text
