"""Fault injection for tests: the failures of a real service, in the order of a script.

A test posts a JSON list of faults to /_faults, or sends one in the X-Fault header. Each call takes the next fault.
"""

from __future__ import annotations

import socket
import struct
import zlib
from collections import deque
from functools import lru_cache
from typing import Literal

import anyio
import anyio.to_thread
import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pipeline.service.refusals import invalid

FAULT_HEADER = "X-Fault"
BOMB_BYTES = 256 * 1024 * 1024
_BODIES = {
    "empty": b"",
    "garbage": b'\x00\xff{"_type": "Image',
    "html": b"<html><body><h1>Bad gateway</h1></body></html>",
}
_TYPES = {"html": "text/html", "empty": "text/plain"}


class InjectedFault(BaseModel):
    """One fault.

    error, nested, flat and gateway are the four JSON forms of an error body; html, empty and garbage are no JSON. bomb
    is a small gzip body that unpacks to 256 MiB. truncate sends half of the real response, reset resets the connection,
    hang never responds, and answer sends the real response (after `delay` seconds).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal[
        "answer", "truncate", "reset", "hang", "error", "nested", "flat", "gateway", "html", "empty", "garbage", "bomb"
    ] = "error"
    status: int = Field(default=200, ge=200, le=599)
    code: str = "ServerError"
    sub_code: str | None = None
    message: str = "A fault on demand."
    retry_after: str | None = None
    delay: float = Field(default=0.0, ge=0, le=3600)
    times: int = Field(default=1, ge=1, le=1_000_000)


_SCRIPT = TypeAdapter(list[InjectedFault])


class FaultScript:
    """The faults of the next calls, in order."""

    def __init__(self) -> None:
        self._faults: deque[InjectedFault] = deque()

    @property
    def remaining(self) -> int:
        """The number of calls that will still get a fault."""
        return sum(fault.times for fault in self._faults)

    def replace(self, script: bytes) -> None:
        """Use a new script, a JSON list of faults; raises Refused if it is invalid."""
        try:
            self._faults = deque(_SCRIPT.validate_json(script))
        except ValidationError as exc:
            raise invalid("faults", exc.error_count(), str(exc)) from exc

    def next(self, header: str | None) -> InjectedFault | None:
        """Return the fault for one call: that of its header, or else the script's next one, if any."""
        if header:
            return _read_header(header)
        if not self._faults:
            return None
        fault = self._faults.popleft()
        if fault.times > 1:
            self._faults.appendleft(fault.model_copy(update={"times": fault.times - 1}))
        return fault


async def replacement_response(fault: InjectedFault, request: web.Request) -> web.StreamResponse | None:
    """Wait for the fault's delay, then return the response that replaces the real one, if any."""
    await anyio.sleep(fault.delay)
    if fault.kind in {"answer", "truncate"}:
        return None
    if fault.kind == "hang":
        await anyio.sleep_forever()
    if fault.kind == "reset":
        return _reset(request)
    if fault.kind == "bomb":
        body = await anyio.to_thread.run_sync(_bomb)
        return web.Response(body=body, content_type="application/json", headers={"Content-Encoding": "gzip"})
    response = web.Response(
        status=fault.status, body=_body(fault), content_type=_TYPES.get(fault.kind, "application/json")
    )
    if fault.retry_after is not None:
        response.headers["Retry-After"] = fault.retry_after
    return response


async def send_half(request: web.Request, whole: web.Response) -> web.StreamResponse:
    """Send the headers of the whole response and half of its body, then close the connection."""
    assert isinstance(whole.body, bytes)
    half = web.StreamResponse(status=whole.status, headers=whole.headers)
    half.content_length = len(whole.body)
    await half.prepare(request)
    await half.write(whole.body[: len(whole.body) // 2])
    if request.transport is not None:
        request.transport.close()
    return half


def _read_header(header: str) -> InjectedFault:
    text = header if header.startswith("{") else orjson.dumps({"kind": header})
    try:
        return InjectedFault.model_validate_json(text)
    except ValidationError as exc:
        raise invalid(FAULT_HEADER, header, str(exc)) from exc


def _body(fault: InjectedFault) -> bytes:
    if fault.kind in _BODIES:
        return _BODIES[fault.kind]
    error = {"code": fault.code, "message": fault.message}
    bodies: dict[str, object] = {
        "error": {
            "_type": "ErrorResponse",
            "errors": [error | ({"subCode": fault.sub_code} if fault.sub_code else {})],
        },
        "nested": {"error": error},
        "flat": error,
        "gateway": {"statusCode": fault.status, "message": fault.message},
    }
    return orjson.dumps(bodies[fault.kind])


def _reset(request: web.Request) -> web.Response:
    """Close the connection with a TCP reset instead of a response."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response()


@lru_cache(maxsize=1)
def _bomb() -> bytes:
    compressor = zlib.compressobj(level=1, wbits=31)
    zeros = bytes(1024 * 1024)
    chunks = [compressor.compress(zeros) for _ in range(BOMB_BYTES // len(zeros))]
    return b"".join([*chunks, compressor.flush()])
