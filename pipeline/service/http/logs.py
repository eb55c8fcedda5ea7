"""The service's logs on stderr: one line per request if switched on, and never a caller's secret."""

from __future__ import annotations

import logging
import sys
import time

from aiohttp.http_exceptions import HttpProcessingError

access_log = logging.getLogger("pipeline.service.access")
# For aiohttp's server, which logs connection errors and requests that it can't parse.
server_log = logging.getLogger("pipeline.service.server")


def print_accesses() -> None:
    """Print the access log on stderr, each line with its time (UTC)."""
    formatter = logging.Formatter("%(asctime)sZ %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    access_log.addHandler(handler)
    access_log.setLevel(logging.INFO)
    access_log.propagate = False


def _remove_request_bytes(record: logging.LogRecord) -> bool:
    """Remove what aiohttp quotes from a request that it can't parse: a mistyped header may contain the key."""
    if record.exc_info and isinstance(record.exc_info[1], HttpProcessingError):
        record.msg = f"{record.msg}: the request can't be parsed as HTTP"
        record.exc_info = None
    return True


server_log.addFilter(_remove_request_bytes)
