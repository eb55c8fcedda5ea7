"""One request to an endpoint, with what becomes known about it on the way."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha256
from uuid import uuid4

from aiohttp import web

from pipeline.service.http.common_parameters import CommonParameters, read_query
from pipeline.service.http.faults import InjectedFault
from pipeline.service.http.journal import JournalEntry, UploadInfo
from pipeline.service.http.json_objects import Json
from pipeline.service.http.redaction import Redactor, shown_path
from pipeline.service.http.routes import normal_path


def new_id() -> str:
    """Return a new trace or client id in the protocol's form: 32 upper-case hex digits."""
    return uuid4().hex.upper()


@dataclass(slots=True, kw_only=True)
class Call:
    """One request to an endpoint; the other members are set while it is processed.

    `caller` is who shares the work with others: the digest of a key, or an address.
    """

    request: web.Request
    caller: str = ""
    received_at: float = field(default_factory=time.time)
    trace_id: str = field(default_factory=new_id)
    common: CommonParameters | None = None
    body: bytes = b""
    picture: UploadInfo | None = None
    fault: InjectedFault | None = None

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the URL."""
        return read_query(self.request.query.items())

    def journal_entry(self, status: int, redactor: Redactor) -> JournalEntry:
        """Return what the journal stores of the request and of the status that was sent."""
        request = self.request
        return JournalEntry(
            at=self.received_at,
            ms=round((time.time() - self.received_at) * 1000, 3),
            method=request.method,
            path=shown_path(normal_path(request.path)),
            status=status,
            trace_id=self.trace_id,
            query=redactor.query(request.query_string, request.headers),
            headers=redactor.headers(request.query_string, request.headers),
            body_bytes=len(self.body),
            body_sha256=sha256(self.body).hexdigest() if self.body else None,
            picture=self.picture,
            fault=self.fault.kind if self.fault else None,
        )


Endpoint = Callable[[Call], Awaitable[Json]]
