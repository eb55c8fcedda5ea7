"""What can go wrong with a download: our errors for statuses and for the faults of a network."""

from __future__ import annotations

import socket
import ssl
from typing import Final, Literal

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientHttpProxyError,
    ClientPayloadError,
    ClientProxyConnectionError,
    ClientResponseError,
    InvalidURL,
)

from pipeline.downloads.addresses import AddressRefused
from pipeline.errors import SourceError

Retry = Literal["never", "next-run", "counted", "throttled", "silent"]
ANSWERS = {200, 203}
# As for calls; 501 and 505 say that the server will never do it.
_TRANSIENT = {408, 409, 423, 424, 425, 499}
_NEVER = {501, 505}


class DownloadError(SourceError):
    """A download that failed, and when it is tried again.

    `retry` is "never", "next-run", or in this run: "counted" as one of its attempts, or when the host is less busy
    ("throttled") or there again ("silent"), which counts as none. `wait` is the seconds that the server asked for.
    """

    def __init__(self, code: str, message: str, retry: Retry = "never", *, wait: float | None = None) -> None:
        self.retry = retry
        self.wait = wait
        super().__init__(code, message, retryable=retry != "never")


def check_status(status: int, wait: float | None) -> None:
    """Raise DownloadError unless a status says that the picture follows; `wait` is the seconds it asks to wait."""
    if status in ANSWERS:
        return
    if status in {404, 410}:
        raise DownloadError("not-found", f"the server does not have the picture (HTTP {status})")
    if status in {401, 403}:
        raise DownloadError("forbidden", f"the server refuses to send the picture (HTTP {status})")
    raise DownloadError(f"http-{status}", f"the server answered with HTTP {status}", _retry_of(status, wait), wait=wait)


def _retry_of(status: int, wait: float | None) -> Retry:
    if status == 429 or (status == 503 and wait is not None):
        return "throttled"
    return "counted" if status in _TRANSIENT or (status >= 500 and status not in _NEVER) else "never"


def translate(error: Exception, timeout: float, *, has_answered: bool) -> DownloadError:
    """Translate a fault of the network; the texts of aiohttp are not used, since they may contain the whole URL.

    `timeout` is that of the download; `has_answered` says whether the server had begun to respond.
    """
    inner = getattr(error, "os_error", error)
    if isinstance(inner, AddressRefused):
        return DownloadError("refused-address", str(inner))
    if isinstance(error, ClientConnectorDNSError) and getattr(inner, "errno", None) == socket.EAI_NONAME:
        return DownloadError("unreachable", "there is no host of that name", "next-run")
    _, code, message, retry = next(fault for fault in FAULTS if isinstance(error, fault[0]))
    return DownloadError(code, message.format(timeout), "counted" if has_answered and retry == "silent" else retry)


# The first that fits decides: a time-out is an OSError too, a certificate error a connection error.
FAULTS: Final[tuple[tuple[type[Exception], str, str, Retry], ...]] = (
    (TimeoutError, "timeout", "no response within prepare.download_timeout ({:g} s)", "silent"),
    (ClientProxyConnectionError, "unreachable", "the proxy can't be reached", "silent"),
    (ClientHttpProxyError, "unreachable", "the proxy refuses the connection", "counted"),
    (ClientConnectorCertificateError, "bad-certificate", "the server's certificate can't be trusted", "never"),
    (ssl.SSLError, "bad-certificate", "the server's certificate can't be trusted", "never"),
    (InvalidURL, "bad-url", "it is not a valid URL", "never"),
    (ClientPayloadError, "broken-download", "the connection broke before the picture was complete", "counted"),
    (ClientConnectorError, "unreachable", "no connection to the server can be made", "silent"),
    (ClientResponseError, "unreachable", "what the server sends is not HTTP", "counted"),
    (Exception, "unreachable", "the connection broke off", "counted"),
)
