"""Read multipart/form-data as real clients send it, which is looser than RFC 2046.

Taken as they come: names without quotes, headers in any order and case, parts without Content-Type, boundaries with
spaces and slashes (quoted or not), bare LF line ends, empty lines before a picture or before the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_BOUNDARY = re.compile(r';\s*boundary\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;]*))', re.IGNORECASE)
_PARAMETER = re.compile(r';\s*([!#$%&\'*+.^_`|~\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;]*))')
_BLANK_LINE = re.compile(rb"(?:\A|\r?\n)\r?\n")
_FOLD = re.compile(r"\r?\n[ \t]+")
_ESCAPED = re.compile(r"\\(.)")


class BadForm(ValueError):
    """The body is no multipart form; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a form: `name` and `filename` of its Content-Disposition, its Content-Type in lower case."""

    name: str | None
    filename: str | None
    media_type: str | None
    charset: str | None
    data: bytes = field(repr=False)


def is_multipart(content_type: str) -> bool:
    """Tell whether a Content-Type names a form; 001 writes multipart/data-form, so any multipart will do."""
    return content_type.strip().lower().startswith("multipart/")


def read_boundary(content_type: str) -> bytes:
    """Return the boundary of a Content-Type header, without its quotes; raises BadForm where there is none."""
    found = _BOUNDARY.search(content_type)
    boundary = _unquote(found).rstrip() if found else ""
    if not boundary:
        raise BadForm("the Content-Type header names no boundary")
    return boundary.encode("utf-8", "surrogateescape")


def read_parts(body: bytes, boundary: bytes) -> list[Part]:
    """Cut a body into its parts; raises BadForm where the boundary doesn't frame it from start to end."""
    return [_read_part(raw) for raw in _between(body, boundary)]


def _between(body: bytes, boundary: bytes) -> Iterator[bytes]:
    start: int | None = None
    for line_start, end, is_last in _delimiters(body, boundary):
        if start is not None:
            yield body[start:line_start]
        if is_last:
            return
        start = end
    raise BadForm("the closing boundary is missing" if start is not None else "the boundary isn't in the body")


def _delimiters(body: bytes, boundary: bytes) -> Iterator[tuple[int, int, bool]]:
    """Yield each delimiter line: where the line end before it begins, where it ends, whether it closes the form.

    The pattern starts with the literal boundary: asking it for the line end too made a 1 MB body take 36 ms, not 1.
    """
    for found in re.finditer(re.escape(b"--" + boundary) + rb"(--)?[ \t]*(?=\r?\n|\Z)", body):
        at = found.start()
        if at == 0 or body[at - 1 : at] == b"\n":
            before = 2 if body[at - 2 : at] == b"\r\n" else 1
            yield max(at - before, 0), found.end(), found[1] is not None


def _read_part(raw: bytes) -> Part:
    head, data = _split_head(raw.removeprefix(b"\r").removeprefix(b"\n"))
    headers = dict(_headers(head))
    disposition = _parameters(headers.get("content-disposition", ""))
    content_type = headers.get("content-type", "")
    return Part(
        name=disposition.get("name"),
        filename=disposition.get("filename"),
        media_type=content_type.partition(";")[0].strip().lower() or None,
        charset=_parameters(content_type).get("charset"),
        data=data,
    )


def _split_head(raw: bytes) -> tuple[str, bytes]:
    blank = _BLANK_LINE.search(raw)
    if blank is None:
        raise BadForm("a part has no empty line between its headers and its content")
    return raw[: blank.start()].decode("utf-8", "replace"), raw[blank.end() :]


def _headers(head: str) -> Iterator[tuple[str, str]]:
    for line in _FOLD.sub(" ", head).splitlines():
        name, _, value = line.partition(":")
        yield name.strip().lower(), value.strip()


def _parameters(value: str) -> dict[str, str]:
    return {found[1].lower(): _unquote(found, 2).strip() for found in _PARAMETER.finditer(value)}


def _unquote(found: re.Match[str], group: int = 1) -> str:
    """Return the quoted text of two neighbouring groups without its escapes, or the bare one."""
    quoted, bare = found[group], found[group + 1]
    return _ESCAPED.sub(r"\1", quoted) if quoted is not None else bare
