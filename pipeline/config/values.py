"""Values that TOML has no type for: durations, times of day, shares, endpoints. A ValueError says how to write one."""

from __future__ import annotations

import re
from datetime import time
from ipaddress import ip_network
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from pipeline.guards.loopback import is_loopback

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"\s*(\d{1,12}(?:\.\d{1,12})?)\s*(ms|s|m|h|d)\s*", re.ASCII)
_PERCENT = re.compile(r"\s*(\d{1,3}(?:\.\d{1,12})?)\s*%\s*", re.ASCII)
_YEAR = 366 * 86400.0
_OWN_HEADERS = {"host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "expect",
                "keep-alive", "accept-encoding", "range", "user-agent"}  # fmt: skip
_SECRET_HEADER = re.compile(r"auth|cookie|key|token|secret|passw|credential|session|signature", re.IGNORECASE)


def parse_duration(value: object) -> float:
    """Turn "500ms", "90s", "8h", "30d" or a plain number of seconds into seconds."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('write a duration such as "500ms", "90s", "15m", "8h" or "30d"')
    return float(match[1]) * _UNITS[match[2]]


def parse_age(value: object) -> float | None:
    """Turn a duration into seconds, and "never" into None."""
    if value is None or value == "never":
        return None
    try:
        return parse_duration(value)
    except ValueError:
        raise ValueError('write "never", or a duration such as "30d"') from None


def parse_time(value: object) -> time | None:
    """Turn "06:00" into a local time of day."""
    try:
        parsed = time.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        parsed = ""
    if parsed is not None and not (isinstance(parsed, time) and parsed.tzinfo is None):
        raise ValueError('write a local time of day such as "06:00"')
    return parsed


def parse_share(value: object) -> tuple[int | None, float | None]:
    """Turn 20 into the count 20, and "5%" into the share 0.05."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 10**12:
        return value, None
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if match is None or float(match[1]) > 100:
        raise ValueError('write a count such as 20, or a share up to 100% such as "5%"')
    return None, float(match[1]) / 100


def check_endpoint(url: str) -> str:
    """Return `url` without a trailing slash; plain http is accepted for loopback addresses only."""
    if not url.isascii() or not url.isprintable() or set(url) & set(' \\"<>^`{|}'):
        raise ValueError("must hold only the characters of a URL")
    try:
        parts, port = urlsplit(url), urlsplit(url).port
    except ValueError:
        raise ValueError("must have a valid host and port") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or "%" in parts.netloc or port == 0:
        raise ValueError("must be a URL such as https://api.example.com/v7.0")
    if set(url) & set("@?#"):
        raise ValueError("must hold no user, password, query or fragment")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("must begin with https://; http:// is for loopback addresses only, it would show the key")
    return url.rstrip("/")


def check_base_url(url: str) -> str:
    """Return the URL that callers reach the service by, without a trailing slash; an empty one says nothing."""
    if url and not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~/-]*)?", url):
        raise ValueError("must be a URL such as https://insights.example.com, without user, password or query")
    return url.rstrip("/")


def check_network(text: str) -> str:
    """Return an IP address, or a network of them."""
    try:
        ip_network(text, strict=False)
    except ValueError:
        raise ValueError('must be an address or a network such as "10.1.2.3" or "fd12::/16"') from None
    return text


def check_header_name(text: str) -> str:
    """Return the name of an HTTP header that a download may have."""
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", text, re.ASCII):
        raise ValueError('must be the name of a header, such as "Referer"')
    if text.lower() in _OWN_HEADERS or text.lower().startswith("proxy-"):
        raise ValueError("is a header that the pipeline sets itself")
    return text


def is_secret_header(name: str) -> bool:
    """Return True if a header of that name carries a secret, as far as names go."""
    return _SECRET_HEADER.search(name) is not None


def check_header_value(text: str) -> str:
    """Return what the value of an HTTP header may be."""
    if not text or len(text) > 4096 or not text.isascii() or not text.isprintable() or text != text.strip():
        raise ValueError("must be printable ASCII, without blanks at its ends")
    return text


def check_variable(name: str) -> str:
    """Return the name of an environment variable; a key that is put in its place is refused."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", name, re.ASCII) or re.fullmatch(r"[0-9a-fA-F]{32,}", name):
        raise ValueError("must be the name of an environment variable that holds the key, never the key itself")
    return name


def check_text(text: str) -> str:
    """Return text that is one line and not empty."""
    if not text.strip() or any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError("must be one line of text that isn't empty")
    return text


def check_delimiter(text: str) -> str:
    """Return the one character that separates columns, or "auto"."""
    text = "\t" if text in {"\\t", "tab"} else text
    if text != "auto" and (len(text) != 1 or text.isalnum() or text in '"\r\n\0'):
        raise ValueError('must be one character such as ";", "tab", or "auto"')
    return text


def check_separator(text: str) -> str:
    """Return what separates several pictures in a cell: blanks and line breaks too, nothing for one picture."""
    if any(character.isalnum() for character in text):
        raise ValueError('must be the characters between two pictures, such as "," or "|", without letters')
    return text


def check_encoding(text: str) -> str:
    """Return the name of an encoding of text that Python knows, or "auto"."""
    try:
        "a".encode("utf-8" if text == "auto" else text)
    except (LookupError, UnicodeError, ValueError):
        raise ValueError(
            'must be the name of an encoding such as "utf-8", "cp1252" or "shift_jis", or "auto"'
        ) from None
    return text


def check_colour(text: str) -> str:
    """Return a colour in hexadecimal."""
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise ValueError('must be a colour such as "#ffffff"')
    return text


def check_pacer(text: str) -> str:
    """Return where the pace of a key is kept: a file, this process, or a Redis; no message shows the URL's password."""
    if text in {"file", "process"}:
        return text
    if not re.fullmatch(r"rediss?://[^\s/]\S*", text):
        raise ValueError('must be "file", "process" or a URL that begins with redis:// or rediss://')
    try:
        parts, port = urlsplit(text), urlsplit(text).port
    except ValueError:
        parts, port = urlsplit(""), None
    if not parts.hostname or port == 0 or not re.fullmatch(r"/?|/\d{1,5}", parts.path) or parts.fragment:
        raise ValueError(
            "must be a URL such as redis://user:password@host:6379/0; "
            "in a user or a password, write / as %2F, # as %23, ? as %3F and @ as %40"
        )
    return text


Count = Annotated[int, Field(ge=0, le=10**12)]
Duration = Annotated[float, BeforeValidator(parse_duration), Field(ge=0, le=_YEAR)]
Wait = Annotated[float, BeforeValidator(parse_duration), Field(ge=0.001, le=86400.0)]
Age = Annotated[Annotated[float, Field(ge=0, le=100 * _YEAR)] | None, BeforeValidator(parse_age)]
TimeOfDay = Annotated[time | None, BeforeValidator(parse_time)]
Text = Annotated[str, AfterValidator(check_text), Field(max_length=4096)]
