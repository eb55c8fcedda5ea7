"""The URLs of pictures: which are downloaded, and where a redirect may lead."""

from __future__ import annotations

from yarl import URL

from pipeline.downloads.errors import DownloadError


def parse_url(text: str) -> URL:
    """Return the URL to request; one that is encoded already is kept verbatim, or its signature would break."""
    try:
        plain = text.isascii() and text.isprintable() and not set(text) & set(' "<>\\^`{|}')
        url = URL(text.partition("#")[0], encoded=plain)
        allowed = url.scheme in {"http", "https"} and bool(url.host)
    except ValueError:
        allowed = False
    if not allowed:
        raise DownloadError("bad-url", "it is not an http(s) URL")
    if url.user is not None or url.password is not None:
        raise DownloadError("bad-url", "a URL with a user name or password is refused")
    return url


def next_hop(url: URL, location: str) -> URL:
    """Return where a redirect leads; raises DownloadError where it may not lead."""
    try:
        target = parse_url(str(url.join(URL(location, encoded=location.isascii()))))
    except (DownloadError, ValueError) as exc:
        raise DownloadError("refused-redirect", f"the redirect is refused: {exc}") from exc
    if url.scheme == "https" and target.scheme == "http":
        raise DownloadError("refused-redirect", "the redirect leads from https to plain http")
    return target


def host_of(url: URL) -> str:
    """Return the name and the port of a URL's host."""
    return f"{url.host}:{url.port}"
