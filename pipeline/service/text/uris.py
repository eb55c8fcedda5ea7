"""Finds addresses in lines of text: mail, web, telephone (references 002 and 003, Uri actions)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, urlsplit

from pipeline.service.text.lines import cut
from pipeline.service.text.values import Line, Uri

_MAIL = re.compile(r"[A-Za-z0-9][\w.+-]*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}", re.ASCII)
_WEB = re.compile(r"(?<![\w.@])(?:https?://|www\.)[^\s<>\"']+", re.IGNORECASE)
_PHONE = re.compile(r"(?<![\w.,+/-])\+?\(?\d[\d ()./-]{5,}\d(?![\w-]|[.,]\d)", re.ASCII)
# Digits with separators that are something else: dates, spans of years, addresses of machines, goods, books.
_NO_PHONE = re.compile(
    r"\d{4}[-./ ]\d{1,2}[-./ ]\d{1,2}|\d{1,2}[-./ ]\d{1,2}[-./ ]\d{4}|(?:1[89]|20)\d\d ?[-/] ?(?:1[89]|20)\d\d"
    r"|\d{1,3}(?:\.\d{1,3}){3}|\d ?\d{6} ?\d{6}|\d{1,3}(?:[. ]\d{3}){2,}"
    r"|97[89](?:[ -]?\d){10}|(?=(?:[ -]?\d){10}$)\d+([ -])\d+\1\d+\1\d",
    re.ASCII,
)
_CLOSING = ".,;:!?)]}"


def find_uris(lines: Iterable[Line]) -> tuple[Uri, ...]:
    """Find the addresses in lines, each once and with its part of the line's box."""
    found: dict[str, Uri] = {}
    for line in lines:
        for address, start, end in addresses(line.text):
            box = cut(line.box, start / len(line.text), end / len(line.text))
            found.setdefault(address, Uri(address=address, box=box))
    return tuple(found.values())


def addresses(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield each address in a line, and where it begins and ends; what belongs to one is no part of another."""
    for pattern, write in ((_MAIL, _mail), (_WEB, _web), (_PHONE, _phone)):
        for match in pattern.finditer(text):
            words = match[0].rstrip(_CLOSING) if pattern is _WEB else match[0]
            if (address := write(words)) is not None:
                yield address, match.start(), match.start() + len(words)
        text = pattern.sub(lambda match: "\0" * len(match[0]), text)


def _mail(words: str) -> str:
    return f"mailto:{words}"


def _web(words: str) -> str | None:
    """Write a web address; one that is printed without its scheme gets the one that every server answers."""
    has_scheme = words.lower().startswith(("http://", "https://"))
    try:
        parts = urlsplit(words if has_scheme else f"http://{words}")
    except ValueError:  # brackets around what is no address of a machine
        return None
    if "." not in parts.netloc.strip("."):
        return None
    return words if has_scheme else parts._replace(netloc=parts.netloc.lower(), path=parts.path or "/").geturl()


def _phone(words: str) -> str | None:
    """Write a number of 7 to 15 digits as it is printed: no country code is invented."""
    digits = sum(map(str.isdigit, words))
    if not 7 <= digits <= 15 or words.isdigit() or _NO_PHONE.fullmatch(words):
        return None
    return f"tel:{quote(words, safe='+()-./')}"
