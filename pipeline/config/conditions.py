"""The conditions of alerts: short sentences such as "price < 20" or "new page on example.com"."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pipeline.config.values import parse_duration

Kind = Literal["below", "above", "moves", "page", "text", "row", "field", "failed", "idle"]
EXAMPLES = (
    "price < 20", "price > 20 EUR", "price moves 5%", "new page", "new page on example.com", "text contains sale",
    "row added", "row removed", "picture changed", "tags changed", "failed > 10", "failed > 5%", "nothing done for 3d",
)  # fmt: skip
_NUMBER = r"(\d{1,12}(?:\.\d{1,6})?)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A condition on a change or, `failed` and `idle`, on a run.

    `limit` is a price, a share (of 1, where `is_share`), a number of rows, or seconds. `text` is a currency, a domain,
    words, or what has changed.
    """

    kind: Kind
    limit: float = 0.0
    text: str = ""
    is_share: bool = False

    @property
    def is_of_run(self) -> bool:
        """True where it is about a run, and not about a change."""
        return self.kind in {"failed", "idle"}


def parse_condition(text: str) -> Condition:
    """Return the condition that a sentence says; raises ValueError with what may be said."""
    for pattern, read in _FORMS:
        if match := re.fullmatch(pattern, text.strip(), re.IGNORECASE | re.ASCII):
            return read(*match.groups())
    if match := re.fullmatch(r"text contains (\S.*)", text.strip(), re.IGNORECASE):
        return Condition(kind="text", text=match[1])
    raise ValueError(f"must be a condition such as {', '.join(map(repr, EXAMPLES))}")


def check_condition(text: str) -> str:
    """Return a condition as it was written, if it is one."""
    parse_condition(text)
    return text


def _price(sign: str, limit: str, currency: str | None) -> Condition:
    return Condition(kind="below" if sign == "<" else "above", limit=float(limit), text=(currency or "").upper())


def _failed(limit: str, percent: str) -> Condition:
    is_share = bool(percent)
    return Condition(kind="failed", limit=float(limit) / (100 if is_share else 1), is_share=is_share)


_FORMS: tuple[tuple[str, Callable[..., Condition]], ...] = (
    (rf"price ([<>]) {_NUMBER}(?: ([A-Z]{{3}}))?", _price),
    (rf"price moves {_NUMBER} ?%", lambda share: Condition(kind="moves", limit=float(share) / 100, is_share=True)),
    (r"new page(?: on ([a-z0-9.-]+))?", lambda domain: Condition(kind="page", text=(domain or "").lower())),
    (r"row (added|removed)", lambda kind: Condition(kind="row", text=kind.lower())),
    (r"(picture|[a-z_]+(?:\.[\w.]+)?) changed", lambda field: Condition(kind="field", text=field)),
    (rf"failed > {_NUMBER} ?(%?)", _failed),
    (r"nothing done for (\d+ ?[a-z]+)", lambda age: Condition(kind="idle", limit=parse_duration(age.replace(" ", "")))),
)
