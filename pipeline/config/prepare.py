"""The table [prepare] as a frozen value (docs/config.md says what each key means)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, field_validator

from pipeline.config.section import Section
from pipeline.config.values import (
    Duration,
    Wait,
    check_colour,
    check_header_name,
    check_header_value,
    check_network,
    check_variable,
    is_secret_header,
)


class HeaderSettings(Section):
    """[[prepare.headers]]: a header of downloads, with its value or the variable that holds it."""

    key_place: ClassVar[str] = "value_env"

    name: Annotated[str, AfterValidator(check_header_name)]
    value: Annotated[str, Field(max_length=4096)] = ""
    value_env: str = ""
    host: Annotated[str, AfterValidator(str.lower), Field(max_length=255)] = ""

    @field_validator("value")
    @classmethod
    def _printable(cls, value: str) -> str:
        return check_header_value(value) if value else value

    @field_validator("value_env")
    @classmethod
    def _variable(cls, value: str) -> str:
        return check_variable(value) if value else value

    @property
    def problem(self) -> str:
        """Why the keys don't go together; empty where they do."""
        if bool(self.value) == bool(self.value_env):
            return f"{self.name}: give either value or value_env"
        if self.value and is_secret_header(self.name):
            return f"{self.name} is a secret: put it into an environment variable, and name that in value_env"
        if self.value_env and not self.host:
            return f'{self.name}: name the host that may know the secret, such as host = "cdn.example.com"'
        return ""


class PrepareConfig(Section):
    """[prepare]: how a picture is brought within the limits; 0 and absent mean the provider's own limit."""

    max_side_px: int = Field(default=0, ge=0, le=65_500)
    max_bytes: int = Field(default=0, ge=0, le=2**31)
    workers: int = Field(default=0, ge=0, le=256)
    min_quality: int = Field(default=50, ge=1, le=95)
    max_quality: int = Field(default=95, ge=1, le=100)
    background: Annotated[str, AfterValidator(check_colour)] = "#ffffff"
    upright: bool = False
    strip_metadata: bool = False
    verify: bool = False
    isolate: bool = True
    decode_timeout: Wait = 30.0
    max_decode_bytes: int = Field(default=512_000_000, ge=1_000_000, le=2**40)
    max_file_bytes: int = Field(default=64 * 1024 * 1024, ge=1, le=2**31)
    download_timeout: Wait = 60.0
    per_host: int = Field(default=8, ge=1, le=1000)
    host_delay: Duration = 0.0
    user_agent: Annotated[str, AfterValidator(check_header_value)] = "image-insights-pipeline"
    headers: tuple[HeaderSettings, ...] = Field(default=(), max_length=100)
    honour_noai: bool = True
    allow_private: bool = False
    allow_addresses: tuple[Annotated[str, AfterValidator(check_network)], ...] = Field(default=(), max_length=1000)

    @field_validator("headers")
    @classmethod
    def _safe_headers(cls, value: tuple[HeaderSettings, ...]) -> tuple[HeaderSettings, ...]:
        problems = [f"[{number}] {header.problem}" for number, header in enumerate(value) if header.problem]
        if problems:
            raise ValueError("; ".join(problems))
        return value

    @field_validator("max_quality")
    @classmethod
    def _order(cls, value: int, info: Any) -> int:
        if value < info.data.get("min_quality", 1):
            raise ValueError("must not be below min_quality")
        return value
