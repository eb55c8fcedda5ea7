"""What is sent for a row: one search a type, the public URL of its picture, the key at the last moment only."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr, ValidationError

from pipeline.errors import RequestError
from pipeline.records import ArchiveMember, CloudFile, Image, LocalFile, RemoteUrl, Request
from tests.providers.google.conftest import prepared
from tests.providers.lens.conftest import lens
from tests.rows import make_row

KEY = SecretStr("a/key&with=marks")
URL = RemoteUrl(url="https://cdn.example.com/a.jpg?w=1&h=2#x")


def query_of(request: Request) -> dict[str, str]:
    return {name: value for name, (value,) in parse_qs(urlsplit(request.target).query, strict_parsing=True).items()}


def test_one_search_for_each_type() -> None:
    """In the order of the config, with everything that the settings say."""
    provider = lens(types=("products", "exact_matches"), language="de", country="at", safe="active", no_cache=True)
    row = replace(make_row("a"), image=URL, query="red mug")
    products, matches = (query_of(request) for request in provider.requests(row, None))
    common = {
        "engine": "google_lens",
        "url": URL.url,
        "hl": "de",
        "country": "at",
        "safe": "active",
        "no_cache": "true",
    }
    assert products == {**common, "type": "products", "q": "red mug"}
    assert matches == {**common, "type": "exact_matches"}
    assert provider.max_calls(row) == 2


@pytest.mark.parametrize(
    ("market", "language", "country"),
    [("en-US", "en", "us"), ("de-AT", "de", "at"), ("pt-BR", "pt-br", "br"), ("zh-TW", "zh-tw", "tw")],
)
def test_a_market_is_a_language_and_a_country(market: str, language: str, country: str) -> None:
    """Some languages Google has for single countries only."""
    (request,) = lens(language="fr").requests(replace(make_row("a"), image=URL, market=market), None)
    assert (query_of(request)["hl"], query_of(request)["country"]) == (language, country)


def test_a_local_file_is_where_its_folder_is() -> None:
    """Its name is escaped as a path, also where it is no UTF-8."""
    provider = lens(public_base="https://www.example.com/shop/")
    name = b"a b/m\xc3\xbcg#1?\xff.jpg".decode("utf-8", "surrogateescape")
    (request,) = provider.requests(replace(make_row("a"), image=LocalFile(path="/x", name=name)), prepared())
    assert "url=https%3A%2F%2Fwww.example.com%2Fshop%2Fa%2520b%2Fm%25C3%25BCg%25231%253F%25FF.jpg&" in request.target


def test_the_hash_of_a_file_makes_another_request_but_is_not_sent() -> None:
    """The URL may stay the same when the picture changes."""
    provider, row = lens(public_base="https://www.example.com"), make_row("a")
    one = prepared()
    other = replace(one, source=replace(one.source, sha256="1" * 64))
    (first,), (second,) = provider.requests(row, one), provider.requests(row, other)
    assert first.fingerprint(provider.service_id) != second.fingerprint(provider.service_id)
    assert provider.authorise(first, KEY) == provider.authorise(second, KEY)
    assert "#" not in provider.authorise(first, KEY).target


def test_the_key_goes_into_the_query_at_the_last_moment() -> None:
    """Escaped; no request has it, and so no fingerprint and no stored request."""
    provider = lens()
    (request,) = provider.requests(replace(make_row("a"), image=URL), None)
    sent = provider.authorise(request, KEY)
    assert query_of(sent) == {**query_of(request), "api_key": KEY.get_secret_value()}
    assert "api_key" not in request.target
    assert provider.secrets(KEY) == (KEY.get_secret_value(),)


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (LocalFile(path="/x", name="x.jpg"), "needs-url"),
        (ArchiveMember(archive="a.zip", name="x.jpg", place="0", stamp=b""), "needs-url"),
        (CloudFile(url="s3://bucket/x.jpg"), "needs-url"),
        (RemoteUrl(url="https://"), "bad-url"),
    ],
)
def test_a_picture_without_a_public_url_is_refused(image: Image, code: str) -> None:
    """Before anything is sent."""
    with pytest.raises(RequestError) as refused:
        lens().requests(replace(make_row("a"), image=image), None)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"types": ()}, "at least one"),
        ({"types": ("all", "all")}, "twice"),
        ({"types": ("google_reverse_image",)}, "visual_matches"),
        ({"language": "German"}, "such as"),
        ({"country": "USA"}, "two letters"),
        ({"public_base": "ftp://example.com"}, "must be a URL"),
        ({"public_base": "https://user:secret@example.com"}, "without user"),
    ],
)
def test_settings_that_make_no_search(settings: dict[str, object], said: str) -> None:
    """Each is refused with what it must be."""
    with pytest.raises(ValidationError, match=said):
        lens(**settings)


def test_a_search_has_its_price() -> None:
    """By the config; the unit is the type."""
    provider = lens(types=("products",), prices={"searches": 8.0, "currency": "EUR"})
    (request,) = provider.requests(replace(make_row("a"), image=URL), None)
    usage = provider.estimate(request)
    assert (usage.units, usage.cost, usage.currency) == ({"products": 1}, 0.008, "EUR")
    assert usage.unit_costs == {"products": 0.008}


def test_stored_answers_belong_to_the_service_not_to_its_address() -> None:
    """Another service has other answers."""
    assert lens().service_id == "serpapi.com/google_lens"
    assert lens(endpoint="https://lens.example.com").service_id == "https://lens.example.com"
