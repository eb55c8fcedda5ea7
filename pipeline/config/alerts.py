"""[[alerts]]: when somebody is told of a change or of a run, and by which way."""

from __future__ import annotations

import re
from typing import Annotated, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, model_validator

from pipeline.config.conditions import Condition, check_condition, parse_condition
from pipeline.config.section import Section
from pipeline.config.values import Text, check_variable
from pipeline.guards.loopback import is_loopback


def check_webhook(url: str) -> str:
    """Return a URL that a message may be sent to; plain http is accepted for loopback addresses only."""
    if not url:
        return url
    parts = _split(url)
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        raise ValueError("must be a URL such as https://hooks.example.com/shop, without user or password")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("must begin with https://; http:// is for loopback addresses only")
    return url


def check_mail(address: str) -> str:
    """Return an address of mail."""
    if address and not re.fullmatch(r"[^@\s<>,;\"]{1,64}@[A-Za-z0-9.-]{1,255}", address):
        raise ValueError("must be an address such as shop@example.com")
    return address


def check_smtp(url: str) -> str:
    """Return the URL of a mail server; its password is never a part of it."""
    parts = _split(url)
    if parts is None or parts.scheme not in {"smtp", "smtps"} or not parts.hostname or parts.path not in {"", "/"}:
        raise ValueError("must be a URL such as smtp://user@mail.example.com:587 or smtps://mail.example.com")
    if parts.password is not None:
        raise ValueError("must hold no password; put it into a variable and name that in smtp_password_env")
    return url


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        return None if parts.port == 0 or not url.isascii() or not url.isprintable() else parts
    except ValueError:
        return None


def _variable(name: str) -> str:
    return check_variable(name) if name else name


Variable = Annotated[str, AfterValidator(_variable)]
Mail = Annotated[str, AfterValidator(check_mail)]
WAYS = ("command", "webhook", "webhook_env", "mail", "exit_code")


class AlertSettings(Section):
    """One [[alerts]]: a condition, and one way or several."""

    when: Annotated[Text, AfterValidator(check_condition)]
    name: str = Field(default="", max_length=200)
    command: tuple[Text, ...] = Field(default=(), max_length=100)
    webhook: Annotated[str, AfterValidator(check_webhook), Field(max_length=2048)] = ""
    webhook_env: Variable = ""
    secret_env: Variable = ""
    mail: Mail = ""
    sender: Mail = ""
    smtp: Annotated[str, AfterValidator(check_smtp), Field(max_length=2048)] = "smtp://localhost:25"
    smtp_password_env: Variable = ""
    exit_code: int = Field(default=0, ge=0, le=99)

    @property
    def condition(self) -> Condition:
        """The condition of `when`."""
        return parse_condition(self.when)

    @property
    def title(self) -> str:
        """What the alert is called: its name, else its condition."""
        return self.name or self.when

    @model_validator(mode="after")
    def _has_a_way(self) -> Self:
        if not any(getattr(self, way) for way in WAYS):
            raise ValueError(f"needs one of {', '.join(WAYS)}")
        if self.webhook and self.webhook_env:
            raise ValueError("has webhook and webhook_env; keep one of them")
        if 0 < self.exit_code < 10:
            raise ValueError("exit_code must be 10 to 99: the lower ones have meanings of their own")
        return self
