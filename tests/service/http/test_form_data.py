"""Forms are read as real clients write them."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.service.http.form_data import (
    MAX_BOUNDARY_CHARS,
    MAX_HEAD_BYTES,
    MAX_PARTS,
    InvalidForm,
    is_multipart,
    read_boundary,
    read_parts,
)

PICTURE = b"\x89PNG\r\n\x1a\n--not-a-boundary\r\n\x00\xff"


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('multipart/form-data; boundary="abc"', b"abc"),
        ('multipart/form-data; charset=utf-8; Boundary = "a b/c:d=_"', b"a b/c:d=_"),
        ("multipart/form-data; boundary=a b/c ; charset=utf-8", b"a b/c"),
        (r'multipart/form-data; boundary="a\"b"', b'a"b'),
        ("multipart/data-form; boundary=----WebKit7MA4YWxk", b"----WebKit7MA4YWxk"),
    ],
    ids=["bare", "quoted", "quoted-odd", "bare-odd", "escaped", "image-insights-guide-typo"],
)
def test_a_boundary_is_read_in_every_form(content_type: str, boundary: bytes) -> None:
    """A boundary may have quotes, spaces, slashes and escapes."""
    assert is_multipart(content_type)
    assert read_boundary(content_type) == boundary


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary="])
def test_a_form_without_a_boundary_is_refused(content_type: str) -> None:
    """A missing boundary is an error; it is not guessed."""
    with pytest.raises(InvalidForm, match="no boundary"):
        read_boundary(content_type)


@pytest.mark.parametrize(
    "head",
    [
        b'Content-Disposition: form-data; name="image"; filename="image"\r\nContent-Type: image/jpeg\r\n',
        b'Content-Type: image/jpeg\r\nContent-Disposition: form-data; name="image"; filename="image"\r\n',
        b"content-disposition: form-data; name=image; filename=image; filename*=u''x\r\nContent-Type: IMAGE/JPEG\r\n",
        b'CONTENT-DISPOSITION:form-data;filename="image";name="image"\r\nContent-Type: image/jpeg; x=y\r\n',
        b'Content-Disposition: form-data;\r\n name="image"; filename=image\r\nContent-Type: image/jpeg\r\n',
    ],
    ids=["usual", "type-first", "unquoted", "no-spaces", "folded"],
)
def test_part_headers_come_in_any_form(head: bytes) -> None:
    """Order, case, quotes and folding of a part's headers don't matter."""
    [part] = read_parts(b"--b\r\n" + head + b"\r\n" + PICTURE + b"\r\n--b--\r\n", b"b")
    assert (part.name, part.filename, part.media_type, part.data) == ("image", "image", "image/jpeg", PICTURE)


def test_a_part_without_headers_or_type_is_a_part() -> None:
    """A part may have a Content-Disposition only, or nothing at all."""
    named, bare = read_parts(b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\n1\r\n--b\r\n\r\n2\r\n--b--", b"b")
    assert (named.name, named.media_type, named.data) == ("x", None, b"1")
    assert (bare.name, bare.data) == (None, b"2")


@pytest.mark.parametrize(
    "body",
    [
        b"\r\n--b\r\nA: b\r\n\r\ndata\r\n--b--\r\n",
        b"a preamble\r\n--b\r\nA: b\r\n\r\ndata\r\n--b--",
        b"--b  \r\nA: b\r\n\r\ndata\r\n--b--\r\nan epilogue",
        b"--b\nA: b\n\ndata\n--b--\n",
    ],
    ids=["line-before", "preamble", "padded-epilogue", "bare-lf"],
)
def test_what_surrounds_the_parts_is_ignored(body: bytes) -> None:
    """Preamble, epilogue, padding and bare line feeds are not part of the data."""
    assert [part.data for part in read_parts(body, b"b")] == [b"data"]


def test_an_extra_line_end_before_the_last_boundary_stays_in_the_data() -> None:
    """Only one line end belongs to the boundary; a second one belongs to the data, and is harmless."""
    assert read_parts(b"--b\r\nA: b\r\n\r\n{}\r\n\r\n--b--\r\n", b"b")[0].data == b"{}\r\n"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "isn't in the body"),
        (b"--c\r\n\r\nx\r\n--c--", "isn't in the body"),
        (b"--b\r\nA: b\r\n\r\nx", "closing boundary"),
        (b"--b\r\nA: b\r\n\r\nx\r\n--b\r\n", "closing boundary"),
        (b"--b\r\nA: b\r\n--b--", "no empty line"),
    ],
    ids=["empty", "other-boundary", "cut", "cut-after-boundary", "no-blank-line"],
)
def test_a_broken_form_is_refused_with_the_reason(body: bytes, reason: str) -> None:
    """A form without its boundary, or without the closing one, is refused."""
    with pytest.raises(InvalidForm, match=reason):
        read_parts(body, b"b")


def test_a_boundary_counts_at_the_start_of_a_line_only() -> None:
    """The same characters inside a line, or at the start of a longer word, are data."""
    data = b"x--b\r\n--bc\r\n--b is not all of this line"
    assert read_parts(b"--b\r\nA: b\r\n\r\n" + data + b"\r\n--b--\r\n", b"b")[0].data == data


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=4), st.sampled_from([b"b", b"a b/c", b"--x-?(y)+"]))
def test_any_bytes_are_read_unchanged(payloads: list[bytes], boundary: bytes) -> None:
    """Whatever bytes the parts hold, they are read unchanged."""
    if any(b"--" + boundary in payload for payload in payloads):
        return
    framed = b"".join(b"--" + boundary + b"\r\nX: y\r\n\r\n" + payload + b"\r\n" for payload in payloads)
    assert [part.data for part in read_parts(framed + b"--" + boundary + b"--\r\n", boundary)] == payloads


def test_the_number_of_parts_is_limited() -> None:
    """Twenty parts are read, and one more is an error."""
    part = b"--b\r\nA: b\r\n\r\nx\r\n"
    assert len(read_parts(part * MAX_PARTS + b"--b--", b"b")) == MAX_PARTS == 20
    with pytest.raises(InvalidForm, match="more than 20 parts"):
        read_parts(part * (MAX_PARTS + 1) + b"--b--", b"b")


def test_the_length_of_headers_and_boundaries_is_limited() -> None:
    """Both are limited far above what clients send."""
    with pytest.raises(InvalidForm, match="bytes of headers"):
        read_parts(b"--b\r\nA: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\nx\r\n--b--", b"b")
    with pytest.raises(InvalidForm, match="boundary has more"):
        read_boundary("multipart/form-data; boundary=" + "x" * (MAX_BOUNDARY_CHARS + 1))


MEGABYTES = 4_000_000
HOSTILE = {
    "parts": b"--b\r\n\r\n\r\n" * (MEGABYTES // 9),
    "boundaries inside lines": b"--b\r\nA: b\r\n\r\n" + b"x--b\n" * (MEGABYTES // 5),
    "lines like the boundary": b"--b\r\nA: b\r\n\r\n" + b"\n--bc" * (MEGABYTES // 5),
    "padding": b"--b" + b" " * MEGABYTES,
    "one line of headers": b"--b\r\nA: " + b"x" * MEGABYTES + b"\r\n\r\n--b--",
    "lines of headers": b"--b\r\n" + b"A: b\r\n" * (MEGABYTES // 6) + b"\r\n--b--",
    "folded headers": b"--b\r\nA: " + b"\r\n x" * (MEGABYTES // 4) + b"\r\n\r\n--b--",
    "open quotes": b"--b\r\nContent-Disposition: form-data" + b';a="' * (MEGABYTES // 4) + b"\r\n\r\n--b--",
    "open quotes in a short head": b"--b\r\nContent-Disposition: form-data" + b';a="' * 2000 + b"\r\n\r\nx\r\n--b--",
    "line feeds": b"\n" * MEGABYTES,
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_no_form_takes_long(body: bytes) -> None:
    """Whatever 4 MB of a form hold, reading them takes a small part of a second of processor time."""
    started = time.thread_time()
    with suppress(InvalidForm):
        read_parts(body, b"b")
    assert time.thread_time() - started < 0.25
