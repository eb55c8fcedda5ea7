"""TOML to small frozen value objects; every problem is reported at once, with its key path and a way out."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import time
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, field_validator

from pipeline.errors import ConfigError

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(value: object) -> object:
    """Turn "500ms", "90s", "8h", "30d" or a plain number of seconds into seconds."""
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*", value)
        if match is None:
            raise ValueError('write a duration such as "500ms", "90s", "15m", "8h" or "30d"')
        return float(match[1]) * _UNITS[match[2]]
    return value


def parse_time(value: object) -> object:
    """Turn "06:00" into a time of day (local)."""
    if isinstance(value, str):
        try:
            return time.fromisoformat(value)
        except ValueError:
            raise ValueError('write a time of day such as "06:00"') from None
    return value


def parse_share(value: object) -> object:
    """Turn "5%" or 20 into a Share."""
    if isinstance(value, str) and (match := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", value)):
        return {"share": float(match[1]) / 100}
    if isinstance(value, int) and not isinstance(value, bool):
        return {"count": value}
    if isinstance(value, str):
        raise ValueError('write a count such as 20, or a share such as "5%"')  # noqa: TRY004 - pydantic reads ValueError
    return value


class Section(BaseModel):
    """A table of the config: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, validate_default=True)


Duration = Annotated[float, BeforeValidator(parse_duration), Field(ge=0, allow_inf_nan=False)]
TimeOfDay = Annotated[time, BeforeValidator(parse_time)]


class Share(Section):
    """So many rows, or such a share of them."""

    count: int | None = Field(default=None, ge=0)
    share: float | None = Field(default=None, ge=0, le=1)

    def exceeded(self, failed: int, total: int) -> bool:
        """Tell whether `failed` of `total` rows are too many; a share is judged from 20 rows on (design 2)."""
        if self.count is not None:
            return failed > self.count
        return self.share is not None and total >= 20 and failed > self.share * total


class Columns(Section):
    """Which columns of the manifest hold what."""

    id: str = "id"
    image: str = "image"
    crop: str = "crop"
    query: str = "query"
    site: str = "site"
    market: str = "market"


class ManifestConfig(Section):
    """[manifest]: where the rows come from."""

    path: str
    format: Literal["auto", "csv", "tsv", "jsonl", "txt", "folder"] = "auto"
    root: str | None = None
    columns: Columns = Columns()
    carry: tuple[str, ...] = ()


class PrepareConfig(Section):
    """[prepare]: how a picture is brought within the limits; 0 and absent mean the provider's own limit."""

    max_side_px: int = Field(default=0, ge=0)
    max_bytes: int = Field(default=0, ge=0)
    workers: int = Field(default=0, ge=0, le=256)
    min_quality: int = Field(default=50, ge=1, le=95)
    max_quality: int = Field(default=95, ge=1, le=100)
    background: str = Field(default="#ffffff", pattern=r"^#[0-9a-fA-F]{6}$")
    upright: bool = False
    strip_metadata: bool = False
    verify: bool = False
    isolate: bool = False
    max_decode_bytes: int = Field(default=512_000_000, ge=1_000_000)
    max_file_bytes: int = Field(default=64 * 1024 * 1024, ge=1)
    allow_private: bool = False
    download_timeout: Duration = 60.0

    @field_validator("max_quality")
    @classmethod
    def _order(cls, value: int, info: Any) -> int:
        if value < info.data.get("min_quality", 1):
            raise ValueError("must not be below min_quality")
        return value


class ProviderSettings(Section):
    """[provider]: what every provider has; its own folder adds the rest."""

    name: str
    endpoint: str = ""
    key_env: str = ""
    key_file: str = ""

    @field_validator("endpoint")
    @classmethod
    def _safe(cls, value: str) -> str:
        return check_endpoint(value) if value else value


class LimitsConfig(Section):
    """[limits]: how fast, how much, how long; 0 means no limit of ours."""

    qps: float = Field(default=3.0, ge=0, le=10_000, allow_inf_nan=False)
    concurrency: int = Field(default=0, ge=0, le=1000)
    guard: float = Field(default=0.01, ge=0, le=0.25)
    pacer: str = Field(default="file", pattern=r"^(file|process|rediss?://\S+)$")
    calls_per_run: int = Field(default=0, ge=0)
    calls_per_day: int = Field(default=0, ge=0)
    calls_per_month: int = Field(default=0, ge=0)
    cost_per_1000_calls: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    max_cost: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    max_runtime: Duration = 0.0
    stop_at: TimeOfDay | None = None


class RetryConfig(Section):
    """[retry]: how a transient fault is tried again."""

    attempts: int = Field(default=5, ge=1, le=100)
    first_wait: Duration = 0.5
    max_wait: Duration = 60.0
    request_timeout: Duration = 60.0
    row_timeout: Duration = 600.0


class OutputConfig(Section):
    """[output]: where the records go, and how many failures are bearable."""

    dir: str
    max_failed: Annotated[Share, BeforeValidator(parse_share)] = Share(share=0.05)
    refresh: Annotated[float | None, BeforeValidator(lambda v: None if v == "never" else parse_duration(v))] = None
    prune: bool = False


class Config(Section):
    """The whole config of one job."""

    manifest: ManifestConfig
    prepare: PrepareConfig = PrepareConfig()
    provider: ProviderSettings
    limits: LimitsConfig = LimitsConfig()
    retry: RetryConfig = RetryConfig()
    output: OutputConfig


def load_config(
    path: str | Path,
    overrides: Iterable[str] = (),
    *,
    providers: Mapping[str, type[ProviderSettings]],
    forced: Mapping[str, object] | None = None,
) -> Config:
    """Read, override (`key.path=value`) and validate a config; raises ConfigError with every problem found.

    `providers` maps a provider's name to the model of its table, so that a new provider brings its own keys.
    """
    place = str(path)
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigError(place, [f"can't be read ({exc.strerror}); give the path of a TOML config"]) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(place, [f"is not valid TOML: {exc}"]) from exc
    problems = [problem for override in overrides if (problem := _override(table, override))]
    for key, value in (forced or {}).items():
        _assign(table, key.split("."), value)
    config, found = _validate(table, providers)
    if problems or found or config is None:
        raise ConfigError(place, [*problems, *found])
    return config


def read_key(settings: ProviderSettings, environ: Mapping[str, str] = os.environ) -> SecretStr | None:
    """Return the key from the environment or from a file only its owner can read; None where none is asked for."""
    if settings.key_env and (value := environ.get(settings.key_env, "").strip()):
        return SecretStr(_printable(value, f"provider.key_env ({settings.key_env})"))
    if settings.key_file:
        return SecretStr(_read_key_file(Path(settings.key_file)))
    if settings.key_env:
        raise ConfigError("provider.key_env", [f"the environment variable {settings.key_env} is not set; export it"])
    return None


def check_endpoint(url: str) -> str:
    """Return `url` without a trailing slash; plain http is accepted for loopback addresses only."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an https:// URL")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must hold no user, password, query or fragment")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("plain http is accepted for loopback addresses only, or the key could be read on the way")
    return url.rstrip("/")


def is_loopback(host: str) -> bool:
    """Tell whether `host` names this machine: localhost, 127.0.0.0/8 or ::1."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read_key_file(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError("provider.key_file", [f"{path} can't be read: {exc}"]) from exc
    if mode & 0o077:
        raise ConfigError("provider.key_file", [f"{path} can be read by others; run: chmod 600 {path}"])
    return _printable(text, "provider.key_file")


def _printable(key: str, place: str) -> str:
    if not key or not key.isascii() or not key.isprintable():
        raise ConfigError(place, ["holds no usable key: it must be one line of printable ASCII"])
    return key


def _override(table: dict[str, Any], text: str) -> str | None:
    key, equals, raw = text.partition("=")
    if not equals or not key.strip():
        return f"--set {text}: write it as key.path=value"
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        value = raw
    try:
        _assign(table, key.strip().split("."), value)
    except TypeError:
        return f"--set {text}: {key} lies inside a value that is no table"
    return None


def _assign(table: dict[str, Any], keys: list[str], value: object) -> None:
    for key in keys[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise TypeError(key)
    table[keys[-1]] = value


def _validate(
    table: dict[str, Any], providers: Mapping[str, type[ProviderSettings]]
) -> tuple[Config | None, list[str]]:
    """Validate the shared tables and the provider's own one, and collect the problems of both."""
    raw = table.get("provider")
    name = raw.get("name") if isinstance(raw, dict) else None
    model = providers.get(name, ProviderSettings) if isinstance(name, str) else ProviderSettings
    problems = []
    if isinstance(name, str) and name not in providers:
        problems.append(f"provider.name: there is no provider {name!r}{_suggest(name, providers)}")
    elif isinstance(raw, dict):
        try:
            table = {**table, "provider": model.model_validate(raw)}
        except ValidationError as exc:
            problems += _explain(exc, model, "provider.")
    without = {**table, "provider": ProviderSettings(name="-")} if problems else table
    try:
        config = Config.model_validate(without)
    except ValidationError as exc:
        return None, problems + _explain(exc, Config, "")
    return config, problems


def _explain(error: ValidationError, model: type[BaseModel], prefix: str) -> list[str]:
    sentences = []
    for item in error.errors(include_url=False):
        keys = [str(part) for part in item["loc"]]
        where = prefix + ".".join(keys)
        if item["type"] == "extra_forbidden":
            sentences.append(f"{where}: unknown key{_suggest(keys[-1], _fields(model, keys[:-1]))}")
        elif item["type"] == "missing":
            sentences.append(f"{where}: is missing")
        else:
            message = item["msg"].removeprefix("Value error, ")
            shown = (
                item["input"] if isinstance(item["input"], (str, int, float, bool)) else type(item["input"]).__name__
            )
            sentences.append(f"{where}: {message[:1].lower()}{message[1:]} (it is {shown!r})")
    return sentences


def _fields(model: type[BaseModel], keys: list[str]) -> Iterable[str]:
    for key in keys:
        field = model.model_fields.get(key)
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return ()
        model = inner
    return model.model_fields


def _suggest(word: str, known: Iterable[str]) -> str:
    choices = list(known)
    close = get_close_matches(word, choices, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known are: {', '.join(choices)}" if choices else ""
