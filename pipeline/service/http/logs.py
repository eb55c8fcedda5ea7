"""What the service writes to stderr about requests: one line each where asked for, and no secret of a caller."""

from __future__ import annotations

import logging
import sys
import time

from aiohttp.http_exceptions import HttpProcessingError

access_log = logging.getLogger("pipeline.service.access")
# What aiohttp's server says, of connections and of requests that are no HTTP.
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


def _tell_no_bytes(record: logging.LogRecord) -> bool:
    """Cut what aiohttp quotes of a request that it can't read: a mistyped header may hold the key."""
    if record.exc_info and isinstance(record.exc_info[1], HttpProcessingError):
        record.msg = f"{record.msg}: it is no HTTP that can be read"
        record.exc_info = None
    return True


server_log.addFilter(_tell_no_bytes)
