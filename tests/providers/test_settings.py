"""The [provider] table: every documented rule is checked, and every key changes the request."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import load_config
from pipeline.errors import ConfigError
from pipeline.providers import PROVIDERS, settings_models
from pipeline.providers.bing.provider import Bing
from pipeline.providers.bing.settings import BingSettings, Location, QuerySettings
from pipeline.records import Row

HERE = {"lat": 47.6, "long": -122.33, "re": 100}


def problems(tmp_path: Path, table: str) -> str:
    path = tmp_path / "job.toml"
    path.write_text(f'[manifest]\npath = "m.csv"\n[output]\ndir = "out"\n[provider]\n{table}')
    with pytest.raises(ConfigError) as caught:
        load_config(path, providers=settings_models())
    return str(caught.value)


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ('market = "english"', "provider.market: is no market; known are"),
        ('cc = "UK"\naccept_language = ["en"]', "provider.cc: is no country code"),
        ('market = "en-US"\ncc = "US"\naccept_language = ["en"]', "provider.cc: excludes market"),
        ('cc = "US"', "provider.accept_language: and cc need each other"),
        ('accept_language = ["en-US"]', "provider.accept_language: and cc need each other"),
        ('cc = "US"\naccept_language = ["en_US"]', "provider.accept_language: holds 'en_US'"),
        ('cc = "US"\naccept_language = ["en"]\nset_lang = "en"', "provider.set_lang: excludes accept_language"),
        ('set_lang = "eng"', "provider.set_lang: must be a language of two letters such as de (it is 'eng')"),
        ('safe_search = "None"', "provider.safe_search: is no safe_search value"),
        ('ask = "details"\nmodules = ["Tag"]', "provider.modules[0]: is no module; did you mean 'Tags'"),
        ('modules = ["Tags"]', 'provider.modules: belongs to ask = "details"'),
        ('ask = "details"\nsite = "a.org"', 'provider.site: belongs to ask = "visualsearch"'),
        ('ask = "details"\nmax_similar = 5', "provider.max_similar: belongs"),
        ('site = "https://a.org/x"', "provider.site: must be a domain"),
        ("count = 5", "provider.count: needs max_similar or max_products"),
        ('client_ip = "999.1.1.1"', "provider.client_ip: must be an IPv4 or IPv6 address"),
        ('accept = "text/html"', "provider.accept"),
        ("location = { lat = 91, long = 0, re = 1 }", "provider.location.lat"),
        ("location = { lat = 9, long = 181, re = 1 }", "provider.location.long"),
        ("location = { lat = 9, long = 18 }", "provider.location.re: is missing"),
        ("location = { lat = 9, long = 18, re = 1, head = 5 }", "provider.location.head: needs sp"),
        ("location = { lat = 9, long = 18, re = 1, head = 361, sp = 1 }", "provider.location.head"),
        ("location = { lat = 9, long = 18, re = 1, are = 5 }", "provider.location.are: needs alt"),
        ('endpoint = "http://api.example/v7.0"', "provider.endpoint: must begin with https://"),
        ('marked = "en-US"', "did you mean 'market'?"),
        ('user_agent = "a\\nb"', "provider.user_agent: must be one line"),
    ],
)
def test_refuses(tmp_path: Path, table: str, problem: str) -> None:
    """A setting that breaks a rule of the documents is named with its key, and nothing is sent."""
    assert problem in problems(tmp_path, f'name = "bing"\n{table}')


@pytest.mark.parametrize("key", ["endpoint", "key_env", "key_file"])
def test_local_needs_no_place_and_no_key(tmp_path: Path, key: str) -> None:
    """The embedded service has no endpoint and no key that a config could name."""
    value = "https://a.example/v7.0" if key == "endpoint" else "X"
    assert f"provider.{key}: must not be given" in problems(tmp_path, f'name = "local"\n{key} = "{value}"')


def test_spelling_is_the_documented_one() -> None:
    """Markets, countries and modules are accepted in any case, and sent in the documented one."""
    settings = BingSettings(name="bing", ask="details", market="EN-us", modules=("brq", "collection"))
    assert (settings.market, settings.modules) == ("en-US", ("BRQ", "Collections"))


def test_a_market_that_is_not_listed_is_sent_with_a_note() -> None:
    """The service uses its best fit (Image Search reference, mkt); `check` says so, and what may be meant."""
    settings = BingSettings(name="bing", market="NB-no")
    assert settings.market == "nb-NO"
    assert settings.notes()[0].startswith("provider.market: 'nb-NO' is none of the documented markets")
    assert BingSettings(name="bing", market="en-UK").notes()[0].endswith("; did you mean 'en-US'?")
    assert BingSettings(name="bing", market="en-us").notes() == BingSettings(name="bing").notes() == ()


def test_location_header_has_every_key() -> None:
    """X-Search-Location holds the pairs of the Image Search reference, plain numbers and no spaces."""
    place = Location(**HERE, ts=1_500_000_000, sp=2.5, head=90, alt=30, are=4)
    assert place.header() == "lat:47.6;long:-122.33;re:100;ts:1500000000;sp:2.5;head:90;alt:30;are:4"
    assert Location(lat=0.00001, long=-1e-7, re=1e17).header() == "lat:0.00001;long:-0.0000001;re:100000000000000000"


CHANGES: dict[str, dict[str, Any]] = {
    "ask": {"ask": "details"},
    "market": {"market": "de-DE"},
    "cc": {"cc": "DE", "accept_language": ("de", "en;q=0.5")},
    "accept_language": {"cc": "DE", "accept_language": ("fr",)},
    "set_lang": {"set_lang": "de"},
    "safe_search": {"safe_search": "strict"},
    "accept": {"accept": "application/ld+json"},
    "no_cache": {"no_cache": True},
    "user_agent": {"user_agent": "Mozilla/5.0"},
    "client_ip": {"client_ip": "2001:db8::1"},
    "location": {"location": HERE},
    "site": {"site": "www.contoso.com"},
    "entity_data": {"entity_data": True},
    "modules": {"ask": "details", "modules": ("Tags",)},
    "query": {"ask": "details", "query": "fox"},
}
ELSEWHERE = {
    "name",
    "endpoint",
    "key_env",
    "key_file",
    "max_similar",
    "max_products",
    "count",
}  # the service, and paging (test_paging.py)


def test_every_key_is_tried() -> None:
    """A key that is added to the settings must be added here too."""
    assert set(QuerySettings.model_fields) == CHANGES.keys() | ELSEWHERE


@pytest.mark.parametrize("key", CHANGES)
def test_every_key_changes_the_request(key: str, make: Callable[..., Bing], row: Callable[..., Row]) -> None:
    """No key is accepted that does nothing."""
    keys = CHANGES[key]
    without = {name: value for name, value in keys.items() if name != key}
    if key in {"cc", "accept_language"}:
        without = {"cc": "US", "accept_language": ("en",)}
    changed, plain = make(**keys).requests(row(), None), make(**without).requests(row(), None)
    assert changed[0].fingerprint("x") != plain[0].fingerprint("x")


def test_names_and_identities(make: Callable[..., Bing]) -> None:
    """The identity is the service's own: the endpoint of a real one, and nothing of the port of the embedded one."""
    assert set(PROVIDERS) == set(settings_models()) >= {"bing", "local"}
    assert make().service_id == "https://api.bing.microsoft.com/v7.0"
    local = [make("local", endpoint=f"http://127.0.0.1:{port}/v7.0") for port in (1, 2)]
    assert local[0].service_id == local[1].service_id == "local text"
    assert make("local", text=False).service_id == "local"
    assert local[1].endpoint == "http://127.0.0.1:2/v7.0"
    assert make("local", catalogue="a.csv").service_id != local[0].service_id


def test_forms(make: Callable[..., Bing]) -> None:
    """URLs are downloaded and uploaded, unless the config has the service load them itself."""
    assert make().limits.forms == make("local").limits.forms == {"bytes", "token"}
    assert make(url_form="url").limits.forms == {"bytes", "token", "url"}
