"""What an insight API tells the pipeline: its limits, how it is asked, how its answers read. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pipeline.config import SearchSettings
from pipeline.records import Answer, Form, Outcome, Prepared, Request, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a picture may be: `max_bytes` of the file, `max_side_px` of its longer side, the `forms` it goes in."""

    max_bytes: int
    max_side_px: int
    forms: frozenset[Form]


class Provider(Protocol):
    """One insight API.

    `name` stands in the record. `identity` names the service whose answers these are; it enters every fingerprint.
    `endpoint` is what a Request's target is appended to. `key_header` is the header that carries the key, and its
    format ("{}" stands for the key itself).
    """

    @property
    def name(self) -> str:
        """The provider's name in config and record."""

    @property
    def identity(self) -> str:
        """The service asked; changes when another service would answer."""

    @property
    def endpoint(self) -> str:
        """The base URL, without a trailing slash."""

    @property
    def key_header(self) -> tuple[str, str]:
        """The header that carries the key, and its format."""

    @property
    def limits(self) -> Limits:
        """What a picture may be."""

    def requests(self, row: Row, prepared: Prepared | None) -> Sequence[Request]:
        """Build the calls that one row needs; `prepared` is None where the row is sent as URL or token.

        Raises RowError where the row breaks a documented rule, so that nothing is sent.
        """

    def read(self, request: Request, answer: Answer) -> Outcome:
        """Understand one answer; never raises, whatever the bytes are."""


@runtime_checkable
class Finder(Protocol):
    """A provider that also finds images; its `read` makes a Page of what answers these requests."""

    def search(self, search: SearchSettings, offset: int, have: int = 0) -> Request:
        """Build the call for a search's images from `offset` on, `have` of them being there already.

        Raises RequestError where the search breaks a documented rule.
        """

    def trending(self) -> Request:
        """Build the call for the images that are trending."""
