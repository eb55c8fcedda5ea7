"""Where secrets come from: the environment, or a file only its owner can read; no message ever shows one."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import SecretStr

from pipeline.config.models import ProviderSettings
from pipeline.config.prepare import PrepareConfig
from pipeline.config.values import check_header_value
from pipeline.downloads.headers import DownloadHeader
from pipeline.errors import ConfigError

_MAX_KEY_CHARS = 4096
_MAX_DOCUMENT_CHARS = 16_384  # of a service account, with a long private key
_WRITTEN_LIKE_A_VARIABLE = re.compile(r"[A-Z]+(_[A-Z0-9]+)+")


def read_key(settings: ProviderSettings, environ: Mapping[str, str] = os.environ) -> SecretStr | None:
    """Return the key from the environment, else from the key file; None where the provider asks for none.

    Raises ConfigError where the variable is not set, or the file can't be read or can be read by others.
    """
    if settings.identity:
        return SecretStr(settings.identity)
    check = _checked_document if settings.key_may_be_json else _checked
    if settings.key_env and (value := environ.get(settings.key_env, "").strip()):
        return check(value, "provider.key_env")
    if settings.key_file:
        return check(_read(Path(settings.key_file).expanduser()), "provider.key_file")
    if settings.key_env:
        raise ConfigError("provider.key_env", [f"{_variable(settings.key_env)} is not set; export it with the key"])
    return None


def read_keys(variables: Sequence[str], environ: Mapping[str, str] = os.environ) -> tuple[SecretStr, ...]:
    """Return the keys that a service knows, from the environment; raises ConfigError with every problem."""
    keys: dict[str, SecretStr] = {}
    problems: list[str] = []
    for number, name in enumerate(variables):
        place = f"keys[{number}].key_env"
        value = environ.get(name, "").strip()
        if not value:
            problems.append(f"{place}: {_variable(name)} is not set; export it with the key")
        elif value in keys:
            problems.append(f"{place}: {_variable(name)} holds the key of another entry; each needs its own")
        else:
            try:
                keys[value] = _checked(value, place)
            except ConfigError as exc:
                problems.append(str(exc))
    if problems:
        raise ConfigError("serve", problems)
    return tuple(keys.values())


def read_headers(settings: PrepareConfig, environ: Mapping[str, str] = os.environ) -> tuple[DownloadHeader, ...]:
    """Return the headers of downloads, with values from the environment; raises ConfigError with every problem."""
    headers: list[DownloadHeader] = []
    problems: list[str] = []
    for number, header in enumerate(settings.headers):
        value = environ.get(header.value_env, "").strip() if header.value_env else header.value
        place = f"prepare.headers[{number}].value_env"
        if not value:
            problems.append(f"{place}: {_variable(header.value_env)} is not set; export it with the header's value")
            continue
        try:
            value = check_header_value(value)
        except ValueError as exc:
            problems.append(f"{place}: {_variable(header.value_env)} holds no header's value: it {exc}")
            continue
        headers.append(DownloadHeader(name=header.name, value=SecretStr(value), host=header.host))
    if problems:
        raise ConfigError("config", problems)
    return tuple(headers)


def key_place(settings: ProviderSettings, environ: Mapping[str, str] = os.environ) -> str:
    """Name the key by where `read_key` finds it, for a message; the key is never shown."""
    if settings.identity:
        return f"the {settings.identity}"
    if settings.key_env and environ.get(settings.key_env, "").strip():
        return f"the key in {_variable(settings.key_env, 'provider.key_env')}"
    return f"the key in {settings.key_file}" if settings.key_file else "to answer without a key"


def _variable(name: str, setting: str = "it") -> str:
    """Name the variable, unless it looks as if the key had been written in its place."""
    if _WRITTEN_LIKE_A_VARIABLE.fullmatch(name):
        return f"the environment variable {name}"
    return f"the environment variable that {setting} names"


def _read(path: Path) -> str:
    """Read a key file once, as far as a key can reach, after a look at the file that is open and not at its name."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # no wait for who writes into a pipe
        try:
            problem = _problem(os.fstat(descriptor), path)
            data = b"" if problem else os.read(descriptor, _MAX_DOCUMENT_CHARS + 2)
        finally:
            os.close(descriptor)
    except OSError as exc:
        raise ConfigError("provider.key_file", [f"{path} can't be read: {exc.strerror}"]) from exc
    if problem:
        raise ConfigError("provider.key_file", [problem])
    return data.decode("utf-8", "replace").strip()


def _problem(status: os.stat_result, path: Path) -> str:
    """Say why a file is no safe place for a key; empty where it is one."""
    if not stat.S_ISREG(status.st_mode):
        return f"{path} is no regular file; write the key into one, or into the variable of provider.key_env"
    if status.st_uid not in {0, os.geteuid()}:
        return f"{path} belongs to another user, who could change the key; use a file of your own"
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return f"{path} can be read by others; run: chmod 600 {path}"
    return ""


def _checked_document(key: str, place: str) -> SecretStr:
    """Return a key that may be a JSON document."""
    if not key.startswith("{"):
        return _checked(key, place)
    try:
        json.loads(key[: _MAX_DOCUMENT_CHARS + 1])
    except ValueError:
        raise ConfigError(place, ["leads to no usable key: it begins like a JSON document, but is none"]) from None
    return SecretStr(key)


def _checked(key: str, place: str) -> SecretStr:
    if not 0 < len(key) <= _MAX_KEY_CHARS or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(place, ["leads to no usable key: it must be one word of printable ASCII"])
    return SecretStr(key)
