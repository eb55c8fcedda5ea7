"""A secret is cut out of whatever comes back, in every encoding it may come back in."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.fetch.redaction import REMOVED, Redactor

KEY: Final = "sk-Az09/+=_0123456789abcdef"
ENCODINGS: Final[Mapping[str, Callable[[str], bytes]]] = {
    "plain": str.encode,
    "URL": lambda key: quote(key, safe="").encode(),
    "URL, lower case": lambda key: quote(key, safe="").replace("%2B", "%2b").replace("%2F", "%2f").encode(),
    "URL, all of it": lambda key: b"".join(b"%%%02X" % byte for byte in key.encode()),
    "URL, twice": lambda key: quote(quote(key, safe=""), safe="").encode(),
    "JSON, all of it": lambda key: b"".join(b"\\u%04x" % byte for byte in key.encode()),
    "JSON, marks in upper case": lambda key: key.replace("+", "\\u002B").replace("=", "\\u003D").encode(),
    "JSON, slashes": lambda key: key.replace("/", "\\/").encode(),
    "JSON in JSON": lambda key: json.dumps(json.dumps(key.replace("/", "\\/"))).encode(),
    "HTML": lambda key: b"".join(b"&#%d;" % byte for byte in key.encode()),
    "HTML, hexadecimal": lambda key: b"".join(b"&#x%X;" % byte for byte in key.encode()),
    "hexadecimal": lambda key: key.encode().hex().encode(),
    "hexadecimal, upper case": lambda key: key.encode().hex().upper().encode(),
    "base64": lambda key: base64.b64encode(key.encode()),
    "base64, URL-safe": lambda key: base64.urlsafe_b64encode(key.encode()),
    "base64 with one before": lambda key: base64.b64encode(b"?" + key.encode() + b"!"),
    "base64 with two before": lambda key: base64.b64encode(b"~~" + key.encode() + b"~"),
    "Basic": lambda key: b"Basic " + base64.b64encode(b"user:" + key.encode()),
    "base64 in a URL": lambda key: quote(base64.b64encode(key.encode()), safe="").encode(),
    "UTF-16": lambda key: key.encode("utf-16-le"),
}  # fmt: skip


def decoded(data: bytes) -> bytes:
    """Return bytes with one layer of each kind of escape undone."""
    data = unquote_to_bytes(data)
    data = re.sub(rb"\\+u00(..)", lambda match: bytes.fromhex(match[1].decode()), data) if b"\\u00" in data else data
    data = re.sub(rb"&#(\d\d+|x..);", lambda match: html.unescape(match[0].decode()).encode(), data)
    return re.sub(rb"\\([^a-z])", rb"\1", data)


def hidden(key: str, data: bytes) -> bool:
    """Return True if someone who undoes the encodings of `data` finds no key in it."""
    secret = key.encode()
    views = [data, data.replace(b"\0", b"")]
    for _ in range(3):
        views.append(decoded(views[-1]))
    forms = [secret, secret.hex().encode(), secret.hex().upper().encode()]
    for before in (b"", b"?", b"~~", b"user:"):
        form = base64.b64encode(before + secret)[4:-4]
        forms += [form, form.translate(bytes.maketrans(b"+/", b"-_"))]
    return not any(form in view for form in forms for view in views)


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
def test_every_encoding_is_cut(encode: Callable[[str], bytes]) -> None:
    """What stands around it is left as it is."""
    echo = encode(KEY)
    assert not hidden(KEY, b'{"a": "' + echo + b'"}')
    clean = Redactor([KEY]).clean_bytes(b'{"a": "before ' + echo + b' after"}')
    assert REMOVED.encode() in clean
    assert hidden(KEY, clean)
    assert clean.startswith(b'{"a": "before ')
    assert clean.endswith(b' after"}')


escapes = st.sampled_from(
    [
        lambda code: bytes([code]),
        lambda code: b"%%%02x" % code,
        lambda code: b"%%25%02X" % code,
        lambda code: b"\\u%04x" % code,
        lambda code: b"\\\\u%04X" % code,
        lambda code: b"&#%d;" % code,
        lambda code: b"\\" + bytes([code]) if not chr(code).isalnum() else bytes([code]),
    ]
)


# A key with what escapes begin with can't be told from other text where it is escaped in parts.
PLAIN = st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="%\\&")


@settings(max_examples=20)
@given(key=st.text(PLAIN, min_size=8, max_size=40), data=st.data())
def test_any_mixture_of_escapes_is_cut(key: str, data: st.DataObject) -> None:
    """Each character of a key may be escaped in a way of its own; cleaning twice changes nothing more."""
    echo = b"".join(data.draw(escapes)(code) for code in key.encode())
    around = data.draw(st.binary(max_size=40))
    redactor = Redactor([key])
    clean = redactor.clean_bytes(around + b" " + echo + b" " + around)
    assert echo not in clean
    assert redactor.clean_bytes(clean) == clean


@given(st.binary(max_size=300))
def test_what_holds_no_secret_is_left_alone(data: bytes) -> None:
    """Escapes, zero bytes and bytes that are no text included."""
    assert Redactor([KEY]).clean_bytes(data) is data
    assert Redactor([]).clean_bytes(data) is data


def test_texts_are_cleaned_alike() -> None:
    """Also with characters that no encoding has; a text too short to be a secret is part of many words."""
    assert Redactor([KEY]).clean(f"\ud800 {KEY}") == f"\ud800 {REMOVED}"
    assert Redactor(["the"]).clean("the key") == "the key"
