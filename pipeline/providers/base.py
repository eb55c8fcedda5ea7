"""What an insight API tells the pipeline: its limits, how it is asked, how its answers read. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from pydantic import SecretStr

from pipeline.records import Advice, Answer, Limits, Outcome, Prepared, Problem, Request, Row, Usage


class AnswerReader(Protocol):
    """Whose answers are read, and how."""

    @property
    def service_id(self) -> str:
        """Names the service whose answers these are: part of every fingerprint, other when another would answer."""

    def read(self, request: Request, answer: Answer) -> Outcome:
        """Understand one answer; never raises, whatever the bytes are."""


class Service(AnswerReader, Protocol):
    """Which service is sent to, and how it is spoken to: all that fetching needs to know of a provider."""

    @property
    def endpoint(self) -> str:
        """The base URL that a request's target is appended to, without a trailing slash."""

    @property
    def kept_headers(self) -> Sequence[str]:
        """The response headers that are kept with an answer, in lower case."""

    @property
    def client_state(self) -> str | None:
        """The header in which the service gives a client its id, to be sent back from then on; None without one."""

    def authorise(self, request: Request, key: SecretStr) -> Request:
        """Return the request with the key in it, as it goes over the wire and nowhere else."""

    def secrets(self, key: SecretStr) -> Sequence[str]:
        """Return every text that must never be shown: the key, and whatever is derived from it."""

    def advice(self, answer: Answer) -> Advice:
        """Return what the headers of an answer advise about the pace."""

    def estimate(self, request: Request) -> Usage:
        """Return what a request is expected to use, before it is sent."""

    def usage(self, request: Request, answer: Answer) -> Usage:
        """Return what an answer says that its request used."""


@runtime_checkable
class TokenService(Protocol):
    """A Service that may want, in the place of the key, a token that the key is exchanged for and that expires."""

    async def token(self, key: SecretStr) -> SecretStr | Problem:
        """Return what goes into the next request: the key itself, or a token, renewed in time."""


@runtime_checkable
class FallbackService(Protocol):
    """A Service whose requests can be sent in other ways, where its problems name such a fallback."""

    def with_fallbacks(self, request: Request, names: frozenset[str]) -> Request:
        """Return the request as it is sent with these fallbacks; its fingerprint stays that of the original."""


class Provider(Service, Protocol):
    """One insight API: a Service, and what is sent to it for a row."""

    @property
    def name(self) -> str:
        """The provider's name in config and record."""

    @property
    def limits(self) -> Limits:
        """What a picture may be."""

    def requests(self, row: Row, prepared: Prepared | None) -> Sequence[Request]:
        """Build the calls that one row needs; `prepared` is None where the row is sent as URL or token.

        Raises RowError where the row breaks a documented rule, so that nothing is sent.
        """

    def max_calls(self, row: Row) -> int:
        """Return the most calls that a row may take, further pages included; 0 where it breaks a rule."""

    def trace_id(self, answer: Answer) -> str | None:
        """Return the id under which the service's support finds a call, if the answer names one."""
