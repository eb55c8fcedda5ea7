"""The picture of a request: prepared bytes, a URL that the service loads itself, or an insights token."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from pipeline.errors import RequestError
from pipeline.providers.bing.error_bodies import MAX_URL_CHARS
from pipeline.records import Form, InsightsToken, Prepared, RemoteUrl, Row, image_name


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture in the form in which it is sent: bytes have `data` and `media_type`, a URL or a token has `text`."""

    form: Form
    text: str = ""
    data: bytes = b""
    media_type: str = ""


def picture_of(row: Row, prepared: Prepared | None) -> Picture:
    """Return the row's picture; raises RequestError if it can't be sent."""
    if prepared is not None:
        return Picture("bytes", data=prepared.data, media_type=prepared.media_type)
    if isinstance(row.image, RemoteUrl):
        return Picture("url", text=_checked_url(row.image.url))
    if isinstance(row.image, InsightsToken):
        return Picture("token", text=_checked_token(row.image.token))
    raise RequestError("not-prepared", f"the file {image_name(row.image)} must be prepared before it can be sent")


def _checked_url(url: str) -> str:
    if len(url) > MAX_URL_CHARS:
        raise RequestError("url-too-long", f"the picture's URL has {len(url)} characters; the limit is {MAX_URL_CHARS}")
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise RequestError("bad-url", f"{url!r} is not an http or https URL")
    return url


def _checked_token(token: str) -> str:
    if not token or not token.isprintable() or " " in token:
        raise RequestError("bad-token", "the insights token is empty, or contains spaces or control characters")
    return token
