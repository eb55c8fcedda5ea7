"""Tells a table's encoding from its first bytes, and its delimiter from its first line, where they are certain."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Callable, Sequence
from typing import Final

UTF_8: Final = "utf-8"
WINDOWS: Final = "cp1252"
# What may stand between the columns of a header, most usual first.
DELIMITERS = (",", ";", "\t", "|", "^", "~", ":")

# The marks of UTF-32 begin like those of UTF-16. A UTF-8 mark is taken off with the first line.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, UTF_8),
)
_EXCEL = re.compile(r'"?sep=([^\w\s"]|[ \t])"?\s*', re.IGNORECASE)
# The letters and marks of Western languages. Other code pages give letters outside of this set, such as the Czech
# y with an acute, or marks inside a word, such as a superscript 3 where Polish has an l with a stroke.
_LETTERS = bytes.fromhex(
    "8c9c c0c1c2c3c4c5c6c7c8c9cacbcccdcecf d1d2d3d4d5d6d8d9dadbdc"
    "df e0e1e2e3e4e5e6e7e8e9eaebecedeeef f1f2f3f4f5f6f8f9fafbfc ff"
).decode(WINDOWS)
_MARKS_BETWEEN_WORDS = bytes.fromhex("80 84858b 919394959697999b a1a2a3a5a7a9abae b0b1b2b3b4 bbbcbdbebf d7f7").decode(
    WINDOWS
)
_WESTERN = frozenset(_LETTERS + _MARKS_BETWEEN_WORDS + bytes.fromhex("92 a0 aa ad b5 b7 ba").decode(WINDOWS))
_MARK_IN_WORD = re.compile(rf"[^\W\d_][{_MARKS_BETWEEN_WORDS}][^\W\d_]")
_WORD = re.compile(rf"[A-Za-z{_LETTERS}]+")
_MOST_ACCENTS = 3  # accented letters for each plain one in words that have any; Cyrillic and Greek have no plain ones


def find_encoding(head: bytes) -> str:
    """Return the encoding of a table that begins with `head`; UTF-8 where nothing else is certain."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    if b"\0" in head[:2] and len(head) >= 4:
        return "utf-16-le" if head[1:4:2] == b"\0\0" else "utf-16-be" if head[0:4:2] == b"\0\0" else UTF_8
    return UTF_8 if _has_utf8(head) or not _is_western(head) else WINDOWS


def find_delimiter(line: str, usual: str, has_image: Callable[[Sequence[str]], bool]) -> str:
    """Return the delimiter of a header: the one that gives a column of images, else `usual`.

    Where none does, it is the one that gives most columns: the message about the missing column then names them.
    """
    columns = {delimiter: split_line(line, delimiter) for delimiter in dict.fromkeys((usual, *DELIMITERS))}
    for delimiter, header in columns.items():
        if has_image(header):
            return delimiter
    return usual if len(columns[usual]) > 1 else max(columns, key=lambda delimiter: len(columns[delimiter]))


def excel_delimiter(line: str) -> str | None:
    """Return the delimiter that Excel's own first line names ("sep=;"), None for any other line."""
    match = _EXCEL.fullmatch(line)
    return match[1] if match else None


def split_line(line: str, delimiter: str) -> list[str]:
    """Return the cells of one line by itself, whatever its quotes."""
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return [line]


def _has_utf8(head: bytes) -> bool:
    """Return True if bytes are plain ASCII, or hold a character of UTF-8: one bad line makes no other encoding."""
    text = head.decode(UTF_8, "surrogateescape")
    return text.isascii() or any(not "\udc80" <= character <= "\udcff" for character in text if not character.isascii())


def _is_western(head: bytes) -> bool:
    """Return True if bytes read like a Western language in Windows' own code page."""
    try:
        text = head.decode(WINDOWS)
    except UnicodeDecodeError:
        return False
    if not {character for character in text if not character.isascii()} <= _WESTERN or _MARK_IN_WORD.search(text):
        return False
    words = "".join(word for word in _WORD.findall(text) if not word.isascii())
    accents = sum(not character.isascii() for character in words)
    return accents <= _MOST_ACCENTS * (len(words) - accents)
