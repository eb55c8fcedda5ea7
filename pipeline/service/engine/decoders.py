"""Works on strangers' pictures in decoder processes: whatever one does, it costs that picture only."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import orjson

from pipeline.decoding.pool import END_SECONDS, PoolClosed, ProcessPool
from pipeline.decoding.process import DecoderProcess, ProcessDied, is_deadline
from pipeline.errors import ServiceError
from pipeline.service.engine.analysis import FEATURES_BYTES, Analysis
from pipeline.service.engine.color import Bytes
from pipeline.service.engine.decoder_messages import (
    MAX_HEAD_BYTES,
    MAX_VIEWS,
    Job,
    check_reply,
    unpack_analysis,
    unpack_pixels,
    unpack_query,
)
from pipeline.service.engine.model_input import Resize
from pipeline.service.engine.pictures import WHOLE
from pipeline.service.engine.query import Query
from pipeline.service.findings import BadPicture, Crop, ModelConfig

T = TypeVar("T")
PROGRAM = "from pipeline.service.engine.decoder_child import main; main()"
MAX_THUMBNAIL_BYTES = 4 * 1024 * 1024
# How a process ends without a fault of the picture: it had grown, or was killed, perhaps for lack of memory.
_BY_CHANCE = {0, -signal.SIGKILL}


class DecodersClosed(ServiceError):
    """The service is stopping; nothing is decoded any more."""


class Decoders:
    """At most `count` processes; further calls wait for one. Safe to share between threads.

    Every method raises BadPicture, also if the picture takes too long or ends its process; DecodersClosed; and
    ServiceError if there is a bug, or no process can be started. A process starts when it is first needed.
    """

    def __init__(self, count: int) -> None:
        self._slots = threading.BoundedSemaphore(count)
        self._pool = ProcessPool(PROGRAM)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes at once; calls in progress raise DecodersClosed."""
        self._pool.close()

    def analyse(self, picture: bytes) -> Analysis:
        """Return what the index stores of a picture."""
        return self._run(picture, "analysis", {}, FEATURES_BYTES, unpack_analysis)

    def read_query(self, picture: bytes, crop: Crop, max_side_px: int | None = None) -> Query:
        """Return what a search needs of the part `crop` of a picture, no side of which is over `max_side_px`."""
        settings = {"crop": crop, "max_side_px": max_side_px}
        return self._run(picture, "query", settings, MAX_VIEWS * FEATURES_BYTES, unpack_query)

    def read_model_input(self, picture: bytes, crop: Crop, model: ModelConfig) -> Bytes:
        """Return the part `crop` of a picture as a model takes it: RGB (size, size, 3)."""
        return self._read_square(picture, crop, model.size_px, model.resize)

    def read_stretched(self, picture: bytes, side_px: int) -> Bytes:
        """Return a whole picture, stretched to a square: RGB (side, side, 3)."""
        return self._read_square(picture, WHOLE, side_px, "squash")

    def _read_square(self, picture: bytes, crop: Crop, side_px: int, resize: Resize) -> Bytes:
        settings = {"crop": crop, "size_px": side_px, "resize": resize}
        return self._run(picture, "model_input", settings, 3 * side_px**2, lambda _, body: unpack_pixels(body, side_px))

    def make_thumbnail(self, picture: bytes, width: int, height: int, *, fills: bool = False) -> bytes:
        """Return a JPEG of a picture of at most `side_px` a side."""
        size = {"width": width, "height": height, "fills": fills}
        return self._run(picture, "thumbnail", size, MAX_THUMBNAIL_BYTES, lambda _, body: body)

    def _run(
        self,
        picture: bytes,
        job: Job,
        settings: Mapping[str, Any],
        max_bytes: int,
        unpack: Callable[[Mapping[str, Any], bytes], T],
    ) -> T:
        """Have a job done, and once more in another process if the first one was ended by chance."""
        request = orjson.dumps({"job": job, **settings})
        work = partial(_exchange, messages=(request, picture), max_bytes=max_bytes, unpack=unpack)
        with self._slots:
            try:
                return self._try(work)
            except _Died as exc:
                if exc.code not in _BY_CHANCE:
                    raise exc.blame() from None
            try:
                return self._try(work)
            except _Died as exc:
                raise exc.blame() from None

    def _try(self, work: Callable[[DecoderProcess], T]) -> T:
        """Return the result of work in a process; raises _Died if that ends the process."""
        process = self._take()
        try:
            result = work(process)
        except ServiceError:
            self._pool.give_back(process)
            raise
        except ProcessDied:
            code = self._pool.end(process, END_SECONDS)
            raise (_closed() if self._pool.is_closed else _Died(code)) from None
        except ValueError as exc:
            self._pool.end(process)
            raise BadPicture("decoder-died", f"the process that decoded the picture sent nonsense ({exc})") from exc
        except BaseException:
            self._pool.end(process)
            raise
        self._pool.give_back(process)
        return result

    def _take(self) -> DecoderProcess:
        try:
            return self._pool.take_idle() or self._pool.start()
        except PoolClosed:
            raise _closed() from None
        except OSError as exc:
            raise ServiceError(f"no process can be started to decode pictures ({exc.strerror})") from exc


class _Died(Exception):
    """A process ended without a reply."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(code)

    def blame(self) -> BadPicture:
        """Return what the picture did to the process."""
        if is_deadline(self.code):
            return BadPicture("too-slow", "decoding the picture takes too long")
        if self.code == -signal.SIGKILL:
            return BadPicture("decoder-died", "the process that decoded the picture was killed (out of memory?)")
        return BadPicture("decoder-died", f"the process that decoded the picture crashed ({_name_of(self.code)})")


def _exchange(
    process: DecoderProcess,
    messages: tuple[bytes, bytes],
    max_bytes: int,
    unpack: Callable[[Mapping[str, Any], bytes], T],
) -> T:
    """Send a request with its picture, and return the result; raises ValueError where the process sends nonsense."""
    process.send(*messages)
    head = orjson.loads(process.receive(MAX_HEAD_BYTES))
    body = process.receive(max_bytes)
    return unpack(check_reply(head), body)


def _closed() -> DecodersClosed:
    return DecodersClosed("the service is stopping")


def _name_of(code: int) -> str:
    try:
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"
    except ValueError:
        return f"signal {-code}"
