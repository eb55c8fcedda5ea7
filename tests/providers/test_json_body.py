"""Bodies that strict readers refuse are read as far as they can be understood, and can be written again."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.providers.json_body import is_damaged_json, parse_json


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": NaN, "b": Infinity, "c": [-Infinity]}', {"a": None, "b": None, "c": [None]}),
        (b'{"a": "\\ud800", "\\udfff": 1}', {"a": "\ufffd", "\ufffd": 1}),
        (b'{"a": "\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        (b'{"a": "\xff"}', {"a": "\ufffd"}),
        (b'{"a": "one\ntwo\x01"}', {"a": "one\ntwo\x01"}),
        ('{"a": "é"}'.encode("utf-16"), {"a": "é"}),
        ('{"a": "é"}'.encode("utf-16-le"), {"a": "é"}),
        ('{"a": "é"}'.encode("utf-16-be"), {"a": "é"}),
        ('{"a": 1}'.encode("utf-32"), {"a": 1}),
        (b'{"a": 18446744073709551616}', {"a": 18446744073709551616.0}),
        (b'{"a": NaN, "b": 36893488147419103232}', {"a": None, "b": 36893488147419103232.0}),
        (b'{"a": NaN, "b": 1' + b"0" * 400 + b"}", {"a": None, "b": None}),
        (b"", None),
        (b"<html>", None),
        (b'{"a": ', None),
        (b"[" * 100_000, None),
        (b'{"a": NaN, "b": ' + b"[" * 5_000 + b"]" * 5_000 + b"}", None),
    ],
)
def test_each_defect(body: bytes, value: Any) -> None:
    """What has no place in JSON is replaced, the rest is kept."""
    assert parse_json(body) == value


@pytest.mark.parametrize(
    ("body", "damaged"),
    [(b'{"a": 1,, "b": 2}', True), (b'{"a": 1', False), (b'{"a": "tex', False), (b"<html>", False), (b"{}", False)],
)
def test_what_was_cut_off_is_not_damaged(body: bytes, *, damaged: bool) -> None:
    """A body that ends too early may be whole the next time; one that is wrong in its middle will not."""
    assert is_damaged_json(body) is damaged


@given(st.binary(max_size=200))
def test_whatever_is_read_can_be_written(body: bytes) -> None:
    """No bytes raise, and no value comes out that orjson would refuse."""
    value = parse_json(body)
    is_damaged_json(body)
    orjson.dumps(value)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=20))
def test_any_json_of_python_is_read(value: Any) -> None:
    """Python's own writer writes NaN, large integers and lone surrogates; all of it is read and can be written."""
    orjson.dumps(parse_json(json.dumps([value]).encode()))
