"""What an insight API tells the pipeline: its limits, how it is asked, how its answers read. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pipeline.records import Answer, Limits, Outcome, Prepared, Request, Row


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
