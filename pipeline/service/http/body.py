"""Reads the bodies of requests: within limits of bytes and time, and of the memory that each caller may take."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import anyio
from aiohttp import web

from pipeline.service.access.admission import Admission, AdmissionPool
from pipeline.service.access.fair_share import FairShare
from pipeline.service.refusals import Refused, invalid, too_many_requests

MAX_BODY_BYTES = 4 * 1024 * 1024
# Seconds for a whole body, and for its next bytes.
BODY_TIMEOUT, STALL_TIMEOUT = 60.0, 15.0
# For all bodies at a time, of which one caller may take half.
MEMORY_BYTES = 96 * 1024 * 1024


class BodyReader:
    """Reads the body of one request; holds its share of the memory until it is closed."""

    def __init__(self, pool: AdmissionPool, memory: FairShare, admission: Admission) -> None:
        self._pool, self._memory, self._admission = pool, memory, admission
        self._held = 0

    async def read(self, request: web.Request) -> bytes:
        """Return a body of at most MAX_BODY_BYTES; raises Refused if it is longer, too slow, or has to make room."""
        if (request.content_length or 0) > MAX_BODY_BYTES:
            raise _too_long()
        body = bytearray()
        with anyio.CancelScope() as scope:
            self._admission.replace = partial(self._give_way, scope)
            try:
                async for chunk in _chunks(request, scope):
                    self._hold(len(chunk))
                    body += chunk
            except web.RequestPayloadError as exc:
                raise invalid("body", len(body), "the body isn't encoded as its Content-Encoding says") from exc
            self._admission.is_waiting = False
        if scope.cancelled_caught:
            raise _too_slow(len(body)) if anyio.current_time() >= scope.deadline else _replaced()
        return bytes(body)

    def close(self) -> None:
        """Give back the memory."""
        self._memory.give_back(self._admission.caller, self._held)
        self._held = 0

    def _give_way(self, scope: anyio.CancelScope) -> None:
        """Make room for another request: the memory is free at once, not only when the reading has ended."""
        self.close()
        scope.cancel()

    def _hold(self, size: int) -> None:
        """Take memory for more bytes, if need be from the caller's own slowest requests; raises Refused."""
        if self._held + size > MAX_BODY_BYTES:
            raise _too_long()
        while not self._memory.take(self._admission.caller, size):
            if not self._pool.replace_oldest(self._admission.caller) or self._admission not in self._pool:
                raise _replaced()
        self._held += size


async def _chunks(request: web.Request, scope: anyio.CancelScope) -> AsyncIterator[bytes]:
    """Yield what arrives, and move the deadline of `scope` with it."""
    end = anyio.current_time() + BODY_TIMEOUT
    scope.deadline = anyio.current_time() + STALL_TIMEOUT
    async for chunk in request.content.iter_any():
        scope.deadline = min(end, anyio.current_time() + STALL_TIMEOUT)
        yield chunk


def _too_long() -> Refused:
    return invalid("body", f"> {MAX_BODY_BYTES}", "the body is longer than any allowed picture")


def _too_slow(received: int) -> Refused:
    return invalid(
        "body", received, f"no more of the body arrived for {STALL_TIMEOUT:.0f} s, or in {BODY_TIMEOUT:.0f} s"
    )


def _replaced() -> Refused:
    return too_many_requests(1, "This caller has too many requests whose bodies are still arriving.")
