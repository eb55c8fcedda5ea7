"""Headers of downloads: secrets come from the environment, have a host, and are shown by no message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.config import HeaderSettings, PrepareConfig, load_config, read_headers
from pipeline.errors import ConfigError
from pipeline.providers import settings_models

SECRET = HeaderSettings(name="Authorization", value_env="CDN", host="CDN.example")
LEAST = "[manifest]\npath = 'x'\n[provider]\nname = 'local'\n[output]\ndir = 'x'\n[[prepare.headers]]\n"


def test_secret_headers_come_from_the_environment() -> None:
    """A value is shown by no repr and has its host, in lower case; headers that are no secrets go to all hosts."""
    settings = PrepareConfig(headers=(SECRET, HeaderSettings(name="Referer", value="https://x/")))
    secret, referer = read_headers(settings, {"CDN": " Bearer abc "})
    assert (secret.name, secret.value.get_secret_value(), secret.host) == ("Authorization", "Bearer abc", "cdn.example")
    assert "abc" not in repr(secret)
    assert (referer.value.get_secret_value(), referer.host) == ("https://x/", "")


@pytest.mark.parametrize(
    "environ",
    [{}, {"CDN": " "}, {"CDN": "abc\r\nHost: x"}, {"CDN": "abc\u00e4"}, {"CDN": "abc" * 5000}],
    ids=["not set", "blank", "two lines", "not ASCII", "long"],
)
def test_a_value_that_no_header_may_have_is_refused_without_showing_it(environ: dict[str, str]) -> None:
    """The message names the key of the config."""
    with pytest.raises(ConfigError, match=r"prepare\.headers\[0\]\.value_env") as raised:
        read_headers(PrepareConfig(headers=(SECRET,)), environ)
    assert "abc" not in str(raised.value)


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ({"name": "Referer"}, "give either value or value_env"),
        ({"name": "Referer", "value": "x", "value_env": "X"}, "give either value or value_env"),
        ({"name": "Authorization", "value": "Bearer sesame"}, "is a secret: put it into an environment variable"),
        ({"name": "X-Api-Key", "value": "sesame"}, "is a secret: put it into an environment variable"),
        ({"name": "Cookie", "value": "sesame"}, "is a secret: put it into an environment variable"),
        ({"name": "Authorization", "value_env": "CDN"}, "name the host that may know the secret"),
        ({"name": "Host", "value": "x"}, "is a header that the pipeline sets itself"),
        ({"name": "user-agent", "value": "x"}, "is a header that the pipeline sets itself"),
        ({"name": "Bad Name", "value": "x"}, "must be the name of a header"),
        ({"name": "X", "value": "sesame\n"}, "must be printable ASCII"),
        ({"name": "X", "value_env": "sesame key", "host": "x"}, "must be the name of an environment variable"),
    ],
)
def test_what_is_wrong_with_a_header_is_said_without_its_value(
    tmp_path: Path, header: dict[str, str], problem: str
) -> None:
    """A secret never stands in a config, and no message repeats a value."""
    keys = "\n".join(f"{key} = {json.dumps(value)}" for key, value in header.items())
    (tmp_path / "job.toml").write_text(LEAST + keys)
    with pytest.raises(ConfigError, match=r"prepare\.headers") as raised:
        load_config(tmp_path / "job.toml", providers=settings_models())
    assert problem in str(raised.value)
    assert "sesame" not in str(raised.value)
