"""A config is right as a whole, or every problem in it is named at once, with what to do; no key is ever shown."""

from __future__ import annotations

import os
from datetime import time
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import (
    Config,
    ProviderSettings,
    RetryConfig,
    Section,
    Share,
    check_endpoint,
    load_config,
    read_key,
)
from pipeline.config.values import parse_duration
from pipeline.errors import ConfigError, ExitCode
from pipeline.guards.loopback import is_loopback
from pipeline.providers import settings_models


class _Place(Section):
    lat: float


class _Settings(ProviderSettings):
    ask: Literal["search", "details"] = "search"
    words: tuple[str, ...] = ()
    place: _Place | None = None


PROVIDERS = {"acme": _Settings, "local": ProviderSettings}
LEAST = '[manifest]\npath = "m.csv"\n[provider]\nname = "acme"\n[output]\ndir = "out"\n'
SECRET = "0123456789abcdef0123456789abcdef"


def _load(tmp_path: Path, text: str, *overrides: str, **forced: object) -> Config:
    path = tmp_path / "job.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, overrides, providers=PROVIDERS, forced=forced)


def _problems(tmp_path: Path, text: str, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        _load(tmp_path, text, *overrides)
    assert raised.value.exit_code == ExitCode.USAGE
    assert str(raised.value).startswith(f"{tmp_path / 'job.toml'}: ")
    return raised.value.problems


def _problem(tmp_path: Path, text: str, *overrides: str) -> str:
    (problem,) = _problems(tmp_path, text, *overrides)
    return problem


def test_three_keys_are_enough(tmp_path: Path) -> None:
    """Where the rows are, who is asked, where the records go: everything else has a default."""
    config = _load(tmp_path, LEAST)
    assert (config.manifest.path, config.provider.name, config.output.dir) == ("m.csv", "acme", "out")
    assert (config.limits.qps, config.retry.attempts, config.output.max_failed) == (3.0, 5, Share(share=0.05))


@pytest.mark.parametrize("name", ["bing", "folder", "nightly", "sample"])
def test_every_config_of_the_project_is_right(project: Path, name: str) -> None:
    """What lies in configs/ loads as it is."""
    assert load_config(project / "configs" / f"{name}.toml", providers=settings_models()).output.dir


def test_every_value_finds_its_place(tmp_path: Path) -> None:
    """Durations, times, shares, lists and tables are read into the values the stages use."""
    config = _load(
        tmp_path,
        """
        [manifest]
        path = "m.csv"
        columns = { id = "sku", crop = "roi" }
        carry = ["title", "price"]
        [prepare]
        download_timeout = 5
        [provider]
        name = "acme"
        ask = "details"
        words = ["a", "b"]
        place = { lat = 1 }
        [limits]
        max_runtime = "8h"
        stop_at = "06:00"
        [retry]
        first_wait = "250ms"
        max_wait = "1.5m"
        [output]
        dir = "out"
        max_failed = 20
        refresh = "30d"
        """,
    )
    assert (config.manifest.columns.id, config.manifest.columns.image, config.manifest.carry) == (
        ("sku",),
        "image",
        ("title", "price"),
    )
    assert config.provider == _Settings(name="acme", ask="details", words=("a", "b"), place=_Place(lat=1))
    assert (config.prepare.download_timeout, config.limits.max_runtime, config.limits.stop_at) == (5, 28800, time(6))
    assert (config.retry.first_wait, config.retry.max_wait) == (0.25, 90)
    assert (config.output.max_failed, config.output.refresh) == (Share(count=20), 30 * 86400)


def test_a_config_may_begin_with_a_mark_and_have_times_of_toml(tmp_path: Path) -> None:
    """What Windows editors write in front, and TOML's own local times, are taken."""
    config = _load(tmp_path, "\ufeff" + LEAST + "[limits]\nstop_at = 06:30:00\n")
    assert config.limits.stop_at == time(6, 30)


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    """One run of `check` is enough to mend a config, its provider's table and its overrides."""
    problems = _problems(
        tmp_path,
        """
        [manifest]
        path = 5
        [provider]
        name = "acme"
        aks = "search"
        words = "a"
        [limit]
        qps = 3
        [prepare]
        workers = -1
        """,
        "nonsense",
    )
    assert problems == [
        "--set: write it as key.path=value, such as limits.qps=10",
        "manifest.path: must be text in quotes (it is 5)",
        "prepare.workers: must be at least 0 (it is -1)",
        'provider.words: must be a list such as ["a", "b"] (it is \'a\')',
        "provider.aks: there is no such key; did you mean 'ask'?",
        "output: is missing",
        "limit: there is no such table; did you mean 'limits'?",
    ]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("limits.qsp=5", "limits.qsp: there is no such key; did you mean 'qps'?"),
        ("limits.attempts=5", "limits.attempts: there is no such key; known are "),
        ("limits.attempts=5", "(there is retry.attempts)"),
        ("manifest.columns.sku='x'", "manifest.columns.sku: there is no such key; known are id, image, crop"),
        ("manifest.colums={}", "manifest.colums: there is no such table; did you mean 'columns'?"),
        ("limits=5", "limits: must be a table (it is 5)"),
        ("provider=5", "provider: must be a table (it is 5)"),
        ("provider.name=acne", "provider.name: there is no provider 'acne'; did you mean 'acme'?"),
        ("provider.name=bing", "provider.name: there is no provider 'bing'; known are acme, local"),
        ("provider.name=5", "provider.name: must be one of acme, local"),
        ("provider.ask=serach", "provider.ask: must be 'search' or 'details' (it is 'serach')"),
        ("provider.words=[5]", "provider.words[0]: must be text in quotes (it is 5)"),
        ("provider.place={lon=1}", "provider.place.lat: is missing"),
        ("provider.place={lat=1, lta=2}", "provider.place.lta: there is no such key; did you mean 'lat'?"),
        ("manifest.path=", "manifest.path: must be one line of text that isn't empty (it is '')"),
        ("manifest.carry=title", 'manifest.carry: must be a list such as ["a", "b"]'),
        ("prepare.verify=1", "prepare.verify: must be true or false (it is 1)"),
        ("prepare.workers=1.5", "prepare.workers: must be a whole number (it is 1.5)"),
        ('prepare.workers="2"', "prepare.workers: must be a whole number (it is '2')"),
        ("prepare.workers=true", "prepare.workers: must be a whole number (it is true)"),
        ("prepare.workers=1000", "prepare.workers: must be at most 256 (it is 1000)"),
        ("prepare.max_quality=10", "prepare.max_quality: must not be below min_quality (it is 10)"),
        ("prepare.background=white", "prepare.background: must be a colour such as \"#ffffff\" (it is 'white')"),
        ("limits.qps=true", "limits.qps: must be a number (it is true)"),
        ("limits.qps=nan", "limits.qps: must be a finite number"),
        ("limits.qps=inf", "limits.qps: must be a finite number"),
        ("limits.max_runtime=inf", "limits.max_runtime: must be a finite number"),
        ("limits.max_runtime=8 hours", "limits.max_runtime: write a duration such as"),
        ("limits.max_runtime=true", "limits.max_runtime: write a duration such as"),
        ("limits.max_runtime=1000d", "limits.max_runtime: must be at most"),
        ("limits.max_runtime=-5", "limits.max_runtime: must be at least 0 (it is -5)"),
        ("limits.stop_at=25:00", 'limits.stop_at: write a local time of day such as "06:00"'),
        ("limits.stop_at=6", 'limits.stop_at: write a local time of day such as "06:00"'),
        ("limits.stop_at=06:00+02:00", 'limits.stop_at: write a local time of day such as "06:00"'),
        ("limits.pacer=memory", 'limits.pacer: must be "file", "process" or a URL that begins with redis://'),
        ("retry.request_timeout=0", "retry.request_timeout: must be at least 0.001 (it is 0)"),
        ("retry.attempts=0", "retry.attempts: must be at least 1 (it is 0)"),
        ("output.max_failed=101%", "output.max_failed: write a count such as 20, or a share up to 100%"),
        ("output.max_failed=0.05", "output.max_failed: write a count such as 20, or a share up to 100%"),
        ("output.max_failed=-1", "output.max_failed: write a count such as 20, or a share up to 100%"),
        ("output.max_failed={share=2}", "output.max_failed: write a count such as 20, or a share up to 100%"),
        (
            "output.refresh=sometimes",
            'output.refresh: write "never", or a duration such as "30d" (it is \'sometimes\')',
        ),
        ("output..dir=x", "--set: write it as key.path=value"),
        ("=x", "--set: write it as key.path=value"),
        ("output.dir.name=x", "--set output.dir.name: lies inside a value that is no table"),
    ],
)
def test_each_problem_says_where_it_is_and_what_to_do(tmp_path: Path, change: str, problem: str) -> None:
    """Each kind of mistake has its sentence: the key path, the way out, the value that is wrong."""
    assert any(problem in said for said in _problems(tmp_path, LEAST, change))


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:hunter/2@host:6379/0",
        "redis://user:hunter#2@host",
        "redis://user:hunter?2@host",
        "redis://user:hunter2@host:port",
        "redis://user:hunter2@host:6379/db",
        "redis://user:hunter2@:6379",
        "redis://user:hunter2@[host",
        "http://user:hunter2@host",
    ],
)
def test_a_wrong_url_of_a_redis_does_not_show_its_password(tmp_path: Path, url: str) -> None:
    """It is refused before anything connects, and the message says how to write it."""
    (problem,) = _problems(tmp_path, LEAST, f"limits.pacer={url}")
    assert problem.startswith("limits.pacer: must be")
    assert "hunter" not in problem


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("limits.qps=10", 10.0),
        ("limits.qps = 0.5", 0.5),
        ("manifest.path=a b.csv", "a b.csv"),
        ('manifest.path="a=b.csv"', "a=b.csv"),
        ("manifest.path=a=b.csv", "a=b.csv"),
        ('manifest.path="2026"', "2026"),
        ("manifest.path=-", "-"),
        ('manifest.carry=["a", "b"]', ("a", "b")),
        ("manifest.columns.id=sku", ("sku",)),
        ('manifest.columns.id=["Handle", "Image Position"]', ("Handle", "Image Position")),
        ("manifest.columns.image=photo", "photo"),
        ("manifest.delimiter=;", ";"),
        ("manifest.delimiter=tab", "\t"),
        ('manifest.delimiter="\\t"', "\t"),
        ("manifest.encoding=cp1252", "cp1252"),
        ("manifest.split=,", ","),
        ('manifest.split=", "', ", "),
        ('manifest.split="\\n"', "\n"),
        ("prepare.verify=true", True),
        ("limits.stop_at=06:00", time(6)),
        ("output.max_failed=5%", Share(share=0.05)),
        ("output.refresh=never", None),
        ("provider.key_env=", ""),
        ("output.dir=1\nlimits.qps = 7", None),
    ],
)
def test_set_changes_one_value(tmp_path: Path, change: str, value: object) -> None:
    """--set takes TOML values and plain text, also for tables that the file doesn't have."""
    if "\n" in change:
        assert "output.dir: must be one line of text" in _problem(tmp_path, LEAST, change)
        return
    found: object = _load(tmp_path, LEAST, change)
    for key in change.partition("=")[0].strip().split("."):
        found = getattr(found, key)
    assert found == value


def test_the_last_override_wins_and_what_is_forced_stands(tmp_path: Path) -> None:
    """Overrides apply in their order; the caller's own values come last."""
    config = _load(tmp_path, LEAST, "limits.qps=1", "limits.qps=2", **{"output.dir": "elsewhere"})
    assert (config.limits.qps, config.output.dir) == (2, "elsewhere")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"[manifest", "is not valid TOML"),
        (b"a = 1\na = 2", "is not valid TOML"),
        (b"name = '\xff'", "is not UTF-8; save it as UTF-8"),
    ],
    ids=["syntax", "twice", "Latin-1"],
)
def test_what_is_no_toml_is_refused(tmp_path: Path, data: bytes, problem: str) -> None:
    """A file that can't be parsed is one sentence with its place."""
    path = tmp_path / "job.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=problem):
        load_config(path, providers=PROVIDERS)


def test_a_config_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A wrong path is one sentence too, and so is a folder."""
    for path in (tmp_path / "nowhere.toml", tmp_path):
        with pytest.raises(ConfigError, match=r"can't be read .*; give the path of a TOML config"):
            load_config(path, providers=PROVIDERS)


def test_an_unknown_provider_hides_no_other_fault(tmp_path: Path) -> None:
    """The provider of the most similar name stands in; without one, keys that no provider has are still named."""
    text = LEAST.replace('name = "acme"', 'name = "acm"\nwords = "a"\naks = "x"') + "[limits]\nqps = -1\n"
    assert _problems(tmp_path, text) == [
        'provider.words: must be a list such as ["a", "b"] (it is \'a\')',
        "provider.aks: there is no such key; did you mean 'ask'?",
        "limits.qps: must be at least 0.0 (it is -1)",
        "provider.name: there is no provider 'acm'; did you mean 'acme'?",
    ]
    text = LEAST.replace('name = "acme"', 'name = "zzz"\nask = "anything"\naks = "x"\nkey_env = "a b"')
    assert _problems(tmp_path, text) == [
        "provider.key_env: must be the name of an environment variable that holds the key, never the key itself",
        "provider.aks: there is no such key; did you mean 'ask'?",
        "provider.name: there is no provider 'zzz'; known are acme, local",
    ]


def test_a_missing_provider_names_the_ones_there_are(tmp_path: Path) -> None:
    """A config without [provider] says what could stand there."""
    assert _problem(tmp_path, LEAST.replace('name = "acme"', "")) == "provider.name: must be one of acme, local"


@pytest.mark.parametrize(
    "change",
    [
        f"provider.key={SECRET}",
        f"provider.api_key={SECRET}",
        f"provider.subscription_key='{SECRET}'",
        f"provider.key_env={SECRET}",
        f"provider.key_env=Bearer {SECRET}",
        f"provider.key_file=['{SECRET}']",
        f"provider.endpoint=https://user:{SECRET}@example.org/v7.0",
        f"provider.endpoint=https://example.org/v7.0?key={SECRET}",
        f"limits.pacer=redis:/:{SECRET}@example.org",
        f"provider.name.key={SECRET}",
        f"provider.key {SECRET}",
        f"{SECRET}",
    ],
)
def test_a_key_in_the_wrong_place_is_never_shown(tmp_path: Path, change: str) -> None:
    """Wherever a key has strayed, the message says what is wrong without repeating it."""
    problem = _problem(tmp_path, LEAST, change)
    assert SECRET not in problem


def test_a_key_in_the_config_is_told_where_it_belongs(tmp_path: Path) -> None:
    """Who writes the key into the config learns of the variable and of the file."""
    problem = _problem(tmp_path, LEAST, f"provider.key={SECRET}")
    assert problem.startswith("provider.key: ")
    assert "provider.key_env" in problem
    assert "provider.key_file" in problem


@pytest.mark.parametrize(
    "url",
    [
        "https://api.bing.microsoft.com/v7.0",
        "https://example.org:8443/bing/v7.0",
        "http://127.0.0.1:8080/v7.0",
        "http://127.9.9.9/v7.0",
        "http://[::1]:8080/v7.0",
        "http://localhost:8080",
        "HTTP://LOCALHOST:8080",
    ],
)
def test_an_endpoint_is_taken(url: str) -> None:
    """A URL may be https anywhere, http on this machine; a trailing slash is dropped."""
    assert check_endpoint(f"{url}/") == check_endpoint(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/v7.0",
        "http://127.0.0.1.evil.example/v7.0",
        "http://localhost.evil.example/v7.0",
        "http://evil.example#127.0.0.1",
        "http://127.0.0.1@evil.example/",
        "http://127.0.0.1:80@evil.example/",
        "http://@127.0.0.1/",
        "http://127.0.0.1\\@evil.example/",
        "http://evil.example\\@127.0.0.1/",
        "http://127.0.0.1\n.evil.example/",
        "http://127.0.0.1\t/",
        "http://127.1/",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://0.0.0.0/",
        "http://[::]/",
        "http://[::1%25eth0]/",
        "http://localhost%2eevil.example/",
        "http://\uff11\uff12\uff17.0.0.1/",
        "https://user@example.org/",
        "https://example.org/?a=b",
        "https://example.org/?",
        "https://example.org/#a",
        "https://example.org:0/",
        "https://example.org:99999/",
        "https://example.org:port/",
        "https://[::1/",
        "https://exam ple.org/",
        "https:///v7.0",
        "//example.org",
        "example.org",
        "ftp://127.0.0.1/",
    ],
)
def test_an_endpoint_that_could_show_the_key_is_refused(url: str) -> None:
    """Plain http beyond loopback, tricks that hide the host, and what is no base URL are refused."""
    with pytest.raises(ValueError, match="must"):
        check_endpoint(url)


@given(st.ip_addresses(v=4))
def test_only_net_127_is_loopback(address: object) -> None:
    """Of all IPv4 addresses, those of 127.0.0.0/8 are this machine."""
    assert is_loopback(str(address)) == str(address).startswith("127.")


@given(st.integers(0, 10**6), st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_a_duration_is_its_number_times_its_unit(number: int, unit: str) -> None:
    """Durations are seconds, whatever they are written in."""
    seconds = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
    assert parse_duration(f" {number}{unit} ") == pytest.approx(number * seconds)


@given(st.text())
def test_text_that_is_no_duration_says_how_to_write_one(text: str) -> None:
    """No text breaks the reading of durations."""
    with pytest.raises(ValueError, match="write a duration such as"):
        parse_duration(f"{text} or so")


@pytest.mark.parametrize(
    ("share", "failed", "total", "exceeded"),
    [
        (Share(count=2), 2, 2, False),
        (Share(count=2), 3, 3, True),
        (Share(count=0), 1, 1, True),
        (Share(share=0.05), 19, 19, False),
        (Share(share=0.05), 1, 20, False),
        (Share(share=0.05), 2, 20, True),
        (Share(share=1.0), 20, 20, False),
    ],
)
def test_a_share_is_judged_once_there_are_enough_rows(share: Share, failed: int, total: int, exceeded: bool) -> None:
    """A count holds at once; a share from 20 rows on, so that one early failure doesn't end a run."""
    assert share.exceeded(failed, total) is exceeded


def test_values_cannot_be_changed() -> None:
    """A config is read once and then only looked at."""
    with pytest.raises(ValueError, match="frozen"):
        RetryConfig().attempts = 9


def _key_file(tmp_path: Path, content: bytes, mode: int = 0o600) -> str:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


def test_the_key_comes_from_the_environment_first(tmp_path: Path) -> None:
    """The variable comes before the file; the file serves where the variable isn't set."""
    settings = ProviderSettings(name="x", key_env="X_KEY", key_file=_key_file(tmp_path, b"from-file\n"))
    for environ, expected in (({"X_KEY": " from-env "}, "from-env"), ({"X_KEY": ""}, "from-file"), ({}, "from-file")):
        key = read_key(settings, environ)
        assert key is not None
        assert key.get_secret_value() == expected
        assert expected not in repr(key)


def test_a_provider_without_a_key_needs_none() -> None:
    """Where neither is named, no key is looked for."""
    assert read_key(ProviderSettings(name="x"), {"KEY": "x"}) is None


class AccountSettings(ProviderSettings):
    """A provider whose key may be the JSON document of an account."""

    key_may_be_json = True


def test_a_key_may_be_a_document_where_the_provider_says_so(tmp_path: Path) -> None:
    """It is returned whole; elsewhere, and where it is damaged, it is no key, and is not shown."""
    document = '{\n  "type": "service_account",\n  "private_key": "p q"\n}'
    path = _key_file(tmp_path, document.encode())
    key = read_key(AccountSettings(name="x", key_file=path), {})
    assert key is not None
    assert key.get_secret_value() == document
    with pytest.raises(ConfigError, match="one word of printable ASCII"):
        read_key(ProviderSettings(name="x", key_file=path), {})
    with pytest.raises(ConfigError, match="begins like a JSON document, but is none") as refused:
        read_key(AccountSettings(name="x", key_env="X_KEY"), {"X_KEY": document[:-1]})
    assert "p q" not in str(refused.value)
    plain = read_key(AccountSettings(name="x", key_env="X_KEY"), {"X_KEY": "plain"})
    assert plain is not None
    assert plain.get_secret_value() == "plain"


def test_a_key_that_is_not_set_is_asked_for() -> None:
    """The message names the variable to export."""
    with pytest.raises(ConfigError, match="the environment variable X_KEY is not set; export it"):
        read_key(ProviderSettings(name="x", key_env="X_KEY"), {})


def test_a_key_written_in_place_of_the_variable_is_not_shown() -> None:
    """A name that may well be a key is not repeated."""
    settings = ProviderSettings(name="x", key_env="aB3xK9q")
    with pytest.raises(ConfigError) as raised:
        read_key(settings, {})
    assert "aB3xK9q" not in str(raised.value)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o601])
def test_a_key_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    """Only the owner may have any right on a key file; the message says how to mend it."""
    settings = ProviderSettings(name="x", key_file=_key_file(tmp_path, b"abc", mode))
    with pytest.raises(ConfigError, match="can be read by others; run: chmod 600"):
        read_key(settings, {})


def test_a_key_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must belong to who runs the job, or to root: its owner could change the key."""
    path = Path(_key_file(tmp_path, b"abc"))
    settings = ProviderSettings(name="x", key_file=str(path))
    status = os.stat_result((*path.stat()[:4], 4711, *path.stat()[5:]))
    monkeypatch.setattr("pipeline.config.key.os.fstat", lambda _: status)
    with pytest.raises(ConfigError, match="belongs to another user"):
        read_key(settings, {})
    monkeypatch.setattr("pipeline.config.key.os.geteuid", lambda: 4711)
    assert read_key(settings, {}) is not None


def test_a_key_file_that_root_owns_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service manager hands out keys in files of root."""
    path = Path(_key_file(tmp_path, b"abc"))
    status = os.stat_result((*path.stat()[:4], 0, *path.stat()[5:]))
    monkeypatch.setattr("pipeline.config.key.os.fstat", lambda _: status)
    monkeypatch.setattr("pipeline.config.key.os.geteuid", lambda: 4711)
    assert read_key(ProviderSettings(name="x", key_file=str(path)), {}) is not None


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "link to a device"])
def test_a_key_file_is_a_regular_file(tmp_path: Path, kind: str) -> None:
    """Nothing that blocks, never ends, or holds no bytes is read."""
    path = {"pipe": tmp_path / "pipe", "folder": tmp_path, "device": Path("/dev/zero")}.get(kind, tmp_path / "link")
    if kind == "pipe":
        os.mkfifo(path, 0o600)
    elif path.name == "link":
        path.symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match="is no regular file"):
        read_key(ProviderSettings(name="x", key_file=str(path)), {})


def test_a_key_file_is_read_as_far_as_a_key_can_reach(tmp_path: Path) -> None:
    """A file of a terabyte is no key, which a few kilobytes of it show."""
    path = Path(_key_file(tmp_path, b"abc"))
    with path.open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(ConfigError, match="leads to no usable key"):
        read_key(ProviderSettings(name="x", key_file=str(path)), {})


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"two\nlines", b"two words", b"k\xc3\xa4se", b"\xff\xfe", b"x" * 5000, b"tab\tbed"],
    ids=["empty", "blank", "two lines", "two words", "not ASCII", "no text", "long", "tab"],
)
def test_what_is_no_key_is_refused_without_showing_it(tmp_path: Path, content: bytes) -> None:
    """A key is one word of printable ASCII; whatever else the file holds is not repeated."""
    settings = ProviderSettings(name="x", key_file=_key_file(tmp_path, content))
    with pytest.raises(ConfigError) as raised:
        read_key(settings, {})
    assert "leads to no usable key" in str(raised.value)
    assert content.decode("latin-1").strip() in {"", "x"} or content.decode("latin-1") not in str(raised.value)


def test_a_key_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A wrong path is one sentence."""
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(ConfigError, match=r"can't be read|is no regular file"):
            read_key(ProviderSettings(name="x", key_file=str(path)), {})


def test_a_key_file_may_lie_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A leading ~ is the home folder."""
    _key_file(tmp_path, b"abc")
    monkeypatch.setenv("HOME", str(tmp_path))
    key = read_key(ProviderSettings(name="x", key_file="~/key"), {})
    assert key is not None
    assert key.get_secret_value() == "abc"


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        pytest.param("max_cost = 3", "needs cost_per_1000_calls", id="no price"),
        pytest.param("cost_per_1000_calls = 15\nmax_cost = 0.001", "pays for no call", id="less than one call"),
        pytest.param("cost_in_all = 3", "needs cost_per_1000_calls", id="no price for the job"),
        pytest.param("cost_per_1000_calls = 15\ncost_per_day = 0.001", "pays for no call", id="less than one a day"),
    ],
)
def test_a_cap_on_cost_that_could_not_be_kept_is_refused(tmp_path: Path, limits: str, said: str) -> None:
    """A cap needs a price, and pays for one call at least."""
    tables = '[manifest]\npath = "m.csv"\n[provider]\nname = "bing"\n[output]\ndir = "out"\n'
    (tmp_path / "job.toml").write_text(f"{tables}[limits]\n{limits}\n")
    with pytest.raises(ConfigError, match=f"limits.*cost.* {said}"):
        load_config(tmp_path / "job.toml", providers=settings_models())
