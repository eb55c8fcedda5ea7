"""Cuts secrets out of what a server sends back, in every encoding, so that an echoed key reaches no file or message.

A body of 36 KB that holds none costs some 30 us: a search for each plain form, and one for escapes that may hide one.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import groupby
from typing import Final

REMOVED: Final = "[removed]"
_REMOVED: Final = REMOVED.encode()
_JSON_LETTERS: Final = b"bfnrtu"  # behind a backslash they mean something else
_AMPERSAND: Final = ord("&")
_SHORTEST: Final = 4  # a shorter text is no secret: it is part of many words
_SHORTEST_DERIVED: Final = 8  # likewise for what base64 makes of it
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
# Each may be escaped more than once: %2541, \\\\u0041. Every branch begins with a letter of its own: 10 times as fast.
_ESCAPE: Final = re.compile(
    rb"%(?:25)*([0-7][0-9A-Fa-f])|\\\\*u00([0-7][0-9A-Fa-f])|\\\\*([!-/:-@\[-`{-~])|"
    rb"&#[xX]0*([0-7]?[0-9A-Fa-f]);?|&#0*(\d{1,3});?"
)


class Redactor:
    """Removes the given secrets: plain, in hexadecimal, in base64, and with any of their characters escaped.

    Escapes are those of URLs, JSON and HTML; zero bytes between characters (UTF-16) hide nothing either.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        plain = {secret.encode() for secret in secrets if len(secret) >= _SHORTEST}
        self._forms = sorted({form for secret in plain for form in _forms(secret)}, key=len, reverse=True)
        self._unescaped = [_unescape(form) for form in self._forms]
        self._shortest = min(map(len, self._forms), default=0)
        characters = b"".join(self._forms)
        codes = _codes(characters)
        self._url = re.compile(rb"%%(?:25)*(?:%s)" % codes)
        escaped = re.escape(characters.translate(None, _JSON_LETTERS) or b"\0")
        self._json = re.compile(rb"\\(?:u00(?:%s)|[%s])" % (codes, escaped))

    def clean(self, text: str) -> str:
        """Return `text` without any secret in it."""
        return self.clean_bytes(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def clean_bytes(self, data: bytes) -> bytes:
        """Return `data` without any secret in it; the same object where it holds none."""
        if not self._forms or len(data) < self._shortest:
            return data
        for form in self._forms:
            if form in data:
                data = data.replace(form, _REMOVED)
        return self._clean_escaped(data) if self._may_be_escaped(data) else data

    def _may_be_escaped(self, data: bytes) -> bool:
        """Return True if a character that a secret has is escaped somewhere, as hardly any answer does it."""
        if b"\0" in data or (b"%" in data and self._url.search(data)) or _has_html_escape(data):
            return True
        return b"\\" in data and self._json.search(data) is not None

    def _clean_escaped(self, data: bytes) -> bytes:
        if not self._is_in(_unescape(data)):
            return data
        data = self._pattern.sub(_REMOVED, data)
        plain = _unescape(data)
        if not self._is_in(plain):
            return data
        for form in self._unescaped:  # escaped in a way that the pattern doesn't know: safe, if less readable
            plain = plain.replace(form, _REMOVED)
        return plain

    def _is_in(self, plain: bytes) -> bool:
        return any(form in plain for form in self._unescaped)

    @cached_property
    def _pattern(self) -> re.Pattern[bytes]:
        """Matches every form with any of its characters escaped."""
        return re.compile(b"|".join(b"\0*".join(map(_any_escape, form)) for form in self._forms), re.IGNORECASE)


def _forms(secret: bytes) -> Iterator[bytes]:
    """Yield how a secret may be written without escapes; base64 has three forms, by where in a longer text it is."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    for offset, own in enumerate(
        (0, 2, 3)
    ):  # the first characters depend on what comes before, the last on what follows
        form = b64encode(bytes(offset) + secret)[own : 8 * (offset + len(secret)) // 6]
        if len(form) >= _SHORTEST_DERIVED:
            yield form
            yield form.translate(_URL_SAFE)


def _any_escape(character: int) -> bytes:
    """Return a pattern for a character as it is and in its escapes."""
    plain, code = re.escape(bytes([character])), _spaced(b"%02x" % character)
    alternatives = [
        plain,
        _spaced(b"%") + rb"(?:\0*2\0*5)*\0*" + code,
        rb"(?:\\\0*)+u\0*0\0*0\0*" + code,
        rb"&\0*#\0*x\0*(?:0\0*)*" + code + rb"(?:\0*;)?",
        rb"&\0*#\0*(?:0\0*)*" + _spaced(b"%d" % character) + rb"(?:\0*;)?",
    ]
    if not chr(character).isalnum():
        alternatives.append(rb"(?:\\\0*)+" + plain)
    return b"(?:" + b"|".join(alternatives) + b")"


def _codes(characters: bytes) -> bytes:
    """Return a pattern for the hexadecimal code of any of the characters: by its first digit, which is the fastest."""
    by_first = groupby(sorted({b"%02x" % character for character in characters}), key=lambda code: code[:1])
    last = {first: b"".join(code[1:] for code in codes) for first, codes in by_first}
    return b"|".join(b"%s[%s%s]" % (first, digits, digits.upper()) for first, digits in last.items())


def _has_html_escape(data: bytes) -> bool:
    """Return True if there is an "&#"; the mark "#" is rare, and found ten times as fast as the two together."""
    at = data.find(b"#")
    while at > 0 and data[at - 1] != _AMPERSAND:
        at = data.find(b"#", at + 1)
    return at > 0


def _spaced(text: bytes) -> bytes:
    return rb"\0*".join(re.escape(bytes([character])) for character in text)


def _unescape(data: bytes) -> bytes:
    """Return what the escapes in `data` mean, as far as it is ASCII, without zero bytes."""
    return _ESCAPE.sub(_meaning, data.replace(b"\0", b""))


def _meaning(match: re.Match[bytes]) -> bytes:
    url, json, mark, html_hex, html = match.groups()
    if mark is not None:
        return mark
    code = int(html) if html is not None else int(url or json or html_hex, 16)
    return bytes([code]) if code < 128 else match[0]
