"""Finds addresses in lines of text: mail, web and telephone (Visual Search query and response guides, Uri actions)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, urlsplit

from pipeline.service.text.reading_order import slice_quad
from pipeline.service.text.recognised_text import TextLine, TextUri

_MAIL = re.compile(r"[A-Za-z0-9][\w.+-]*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}", re.ASCII)
_WEB = re.compile(r"(?<![\w.@])(?:https?://|www\.)[^\s<>\"']+", re.IGNORECASE)
_PHONE = re.compile(r"(?<![\w.,+/-])\+?\(?\d[\d ()./-]{5,}\d(?![\w-]|[.,]\d)", re.ASCII)
# Digits with separators that are no telephone number: dates, year ranges, IP addresses, product codes, prices, ISBNs.
_NOT_A_PHONE = re.compile(
    r"\d{4}[-./ ]\d{1,2}[-./ ]\d{1,2}|\d{1,2}[-./ ]\d{1,2}[-./ ]\d{4}|(?:1[89]|20)\d\d ?[-/] ?(?:1[89]|20)\d\d"
    r"|\d{1,3}(?:\.\d{1,3}){3}|\d ?\d{6} ?\d{6}|\d{1,3}(?:[. ]\d{3}){2,}"
    r"|97[89](?:[ -]?\d){10}|(?=(?:[ -]?\d){10}$)\d+([ -])\d+\1\d+\1\d",
    re.ASCII,
)
_CLOSING_PUNCTUATION = ".,;:!?)]}"


def find_uris(lines: Iterable[TextLine]) -> tuple[TextUri, ...]:
    """Find the addresses in lines, each once and with its part of the line's box."""
    uris: dict[str, TextUri] = {}
    for line in lines:
        for address, start, end in find_addresses(line.text):
            box = slice_quad(line.box, start / len(line.text), end / len(line.text))
            uris.setdefault(address, TextUri(address=address, box=box))
    return tuple(uris.values())


def find_addresses(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield each address in a line, with its start and end; no character belongs to two addresses."""
    for pattern, to_uri in ((_MAIL, _mail_uri), (_WEB, _web_uri), (_PHONE, _phone_uri)):
        for match in pattern.finditer(text):
            matched = match[0].rstrip(_CLOSING_PUNCTUATION) if pattern is _WEB else match[0]
            if (address := to_uri(matched)) is not None:
                yield address, match.start(), match.start() + len(matched)
        text = pattern.sub(lambda match: "\0" * len(match[0]), text)


def _mail_uri(text: str) -> str:
    return f"mailto:{text}"


def _web_uri(text: str) -> str | None:
    """Return a web address; one that is written without a scheme gets http, which every server answers."""
    has_scheme = text.lower().startswith(("http://", "https://"))
    try:
        parts = urlsplit(text if has_scheme else f"http://{text}")
    except ValueError:  # brackets around something that is no IP address
        return None
    if "." not in parts.netloc.strip("."):
        return None
    return text if has_scheme else parts._replace(netloc=parts.netloc.lower(), path=parts.path or "/").geturl()


def _phone_uri(text: str) -> str | None:
    """Return a number of 7 to 15 digits as it is written, without a country code of our own."""
    digits = sum(map(str.isdigit, text))
    if not 7 <= digits <= 15 or text.isdigit() or _NOT_A_PHONE.fullmatch(text):
        return None
    return f"tel:{quote(text, safe='+()-./')}"
