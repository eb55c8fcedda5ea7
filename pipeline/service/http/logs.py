"""The service's logs on stderr: printable, not without end, and never with a caller's secret."""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from aiohttp.http_exceptions import HttpProcessingError

from pipeline.guards.printable import printable, printable_lines

access_log = logging.getLogger("pipeline.service.access")
# For aiohttp's server, which logs connection errors and requests that it can't parse.
server_log = logging.getLogger("pipeline.service.server")
# What else may say something in this process.
_LOGGERS = ("pipeline.service", "aiohttp", "asyncio")
# Lines of one kind in one minute.
MAX_LINES, SECONDS = 10, 60.0


class PrintableFormatter(logging.Formatter):
    """Formats a record so that nothing in it acts on a terminal; only a traceback has several lines."""

    converter = time.gmtime  # type: ignore[assignment] # logging's own way to have UTC

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the line of a record."""
        return printable(super().formatMessage(record))

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging's name
        """Return the lines of a traceback."""
        return printable_lines(super().formatException(ei))  # type: ignore[arg-type] # as logging


class RepeatFilter(logging.Filter):
    """Lets a few lines of each kind pass in a minute: what callers do must not fill the disk."""

    def __init__(self) -> None:
        super().__init__()
        self._started = time.monotonic()
        self._lines: Counter[tuple[str, str]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True if a record is logged; the last one of its kind says that more are left out."""
        if time.monotonic() - self._started > SECONDS:
            self._started, self._lines = time.monotonic(), Counter()
        kind = record.name, record.msg
        self._lines[kind] += 1
        if self._lines[kind] == MAX_LINES:
            record.msg = f"{record.msg} (more of these are left out for a minute)"
        return self._lines[kind] <= MAX_LINES


@contextmanager
def print_logs(*, accesses: bool) -> Iterator[None]:
    """Print what goes wrong on stderr, and with `accesses` a line for each request, with its time (UTC)."""
    with ExitStack() as stack:
        for name in _LOGGERS:
            stack.enter_context(_printed(logging.getLogger(name), PrintableFormatter("%(message)s"), RepeatFilter()))
        if accesses:
            formatter = PrintableFormatter("%(asctime)sZ %(message)s", "%Y-%m-%dT%H:%M:%S")
            stack.enter_context(_printed(access_log, formatter))
            access_log.setLevel(logging.INFO)
        yield


@contextmanager
def _printed(logger: logging.Logger, formatter: logging.Formatter, *filters: logging.Filter) -> Iterator[None]:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    for each in filters:
        handler.addFilter(each)
    logger.addHandler(handler)
    propagated, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.propagate = propagated
        logger.removeHandler(handler)


def _remove_request_bytes(record: logging.LogRecord) -> bool:
    """Remove what aiohttp quotes from a request that it can't parse: a mistyped header may contain the key."""
    if record.exc_info and isinstance(record.exc_info[1], HttpProcessingError):
        record.msg = f"{record.msg}: the request can't be parsed as HTTP"
        record.exc_info = None
    return True


server_log.addFilter(_remove_request_bytes)
