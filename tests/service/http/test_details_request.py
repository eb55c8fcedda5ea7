"""Image Insights requests become values, or are refused with the parameter of the rule they break."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pipeline.service.http.details_request import ALL, MODULES, read_details_request
from pipeline.service.http.picture_source import ByToken, ByUrl, Upload
from pipeline.service.refusals import Refused

FORM = "multipart/form-data; boundary=frontier"


def test_details_by_token_url_or_body(write_form: Callable[..., bytes]) -> None:
    """A GET names the picture; a POST has it as a part of any name, or as its body.

    Sources: Image Insights guide and Image Search reference.
    """
    assert read_details_request({"insightsToken": "t"}, "", b"").source == ByToken(token="t")
    assert read_details_request({"imgUrl": "https://x.example/a"}, "", b"").source == ByUrl(url="https://x.example/a")
    assert read_details_request({}, FORM, write_form(None, b"PNG")).source == Upload(data=b"PNG")
    odd = b"--frontier\r\nContent-Disposition: form-data; name=binary\r\n\r\nPNG\r\n--frontier--"
    assert read_details_request({}, FORM, odd).source == Upload(data=b"PNG")
    assert read_details_request({}, "multipart/form-data", b"PNG").source == Upload(data=b"PNG")


@pytest.mark.parametrize(
    ("text", "modules"),
    [
        (None, ALL),
        ("All", ALL),
        ("all,Caption", ALL),
        ("caption, COLLECTION", frozenset({"Caption", "Collections"})),
        ("RecognizedEntities", frozenset({"RecognizedEntities"})),
        ("RecognizedEntities,Tags", frozenset({"Tags"})),
        (",".join(MODULES), ALL),
    ],
    ids=["none", "all", "all-and-one", "any-case", "entities-alone", "entities-with-others", "each"],
)
def test_modules_in_any_case(text: str | None, modules: frozenset[str]) -> None:
    """RecognizedEntities counts only alone; All means all others (Image Search reference, modules)."""
    query = {"insightsToken": "t"} | ({"modules": text} if text else {})
    assert read_details_request(query, "", b"").modules == modules


def test_crop_parameters_of_details() -> None:
    """Missing edges are those of the picture; both spellings of the crop type are accepted."""
    query = {"insightsToken": "t", "cal": "0.5", "cab": "0.75", "ct": "Rectangular"}
    assert read_details_request(query, "", b"").crop == (0.5, 0.0, 1.0, 0.75)
    assert read_details_request({"insightsToken": "t", "cal": "0", "ct": "0"}, "", b"").crop is None


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({}, "insightsToken"),
        ({"insightsToken": "t", "imgUrl": "https://x.example/a"}, "imgUrl"),
        ({"insightsToken": "t", "modules": "Weather"}, "modules"),
        ({"insightsToken": "t", "ct": "1"}, "ct"),
        ({"insightsToken": "t", "cal": "0.9", "car": "0.1"}, "car"),
        ({"insightsToken": "t", "cat": "2"}, "cat"),
        ({"insightsToken": "t", "count": "3"}, "count"),
    ],
    ids=["nothing", "both", "module", "crop-type", "crop-order", "crop-range", "search-only"],
)
def test_every_rule_of_details(query: dict[str, str], parameter: str) -> None:
    """A broken rule is a 400 with the parameter at fault."""
    with pytest.raises(Refused) as caught:
        read_details_request(query, "", b"")
    assert (caught.value.refusal.status, caught.value.refusal.parameter) == (400, parameter)
