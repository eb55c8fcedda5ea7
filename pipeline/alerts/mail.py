"""Sends a message of an alert by SMTP."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any
from urllib.parse import unquote, urlsplit

from pipeline.config import AlertSettings
from pipeline.errors import AlertError
from pipeline.guards.loopback import is_loopback
from pipeline.guards.printable import printable

_TIMEOUT = 30.0


def send_mail(alert: AlertSettings, message: Mapping[str, Any], message_id: str, password: str) -> None:
    """Send a message by mail; raises AlertError.

    The connection is encrypted where the server can do it. A password is sent over an encrypted one only, or to this
    machine.
    """
    parts = urlsplit(alert.smtp)
    host, context = parts.hostname or "", ssl.create_default_context()
    try:
        with _connect(parts.scheme, host, parts.port, context) as server:
            is_safe = parts.scheme == "smtps" or is_loopback(host)
            if parts.scheme == "smtp":
                server.ehlo_or_helo_if_needed()
                if server.has_extn("starttls"):
                    server.starttls(context=context)
                    is_safe = True
            if parts.username and password:
                if not is_safe:
                    raise AlertError(f"{host} offers no encryption, and the password is not sent without it")
                server.login(unquote(parts.username), password)
            server.send_message(compose(alert, message, message_id))
    except (smtplib.SMTPException, OSError) as exc:
        raise AlertError(f"the mail can't be sent through {host} ({_reason(exc)})") from None


def compose(alert: AlertSettings, message: Mapping[str, Any], message_id: str) -> EmailMessage:
    """Return the mail; what the message says is only ever text."""
    mail = EmailMessage()
    mail["From"] = alert.sender or alert.mail
    mail["To"] = alert.mail
    first, _, rest = str(message["text"]).partition("\n")
    mail["Subject"] = printable(first)[:200]
    mail["Date"] = formatdate()
    mail["Message-ID"] = f"<{message_id}@image-insights.invalid>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(f"{first}\n\n{rest}\n")
    return mail


def _connect(scheme: str, host: str, port: int | None, context: ssl.SSLContext) -> smtplib.SMTP:
    if scheme == "smtps":
        return smtplib.SMTP_SSL(host, port or 465, timeout=_TIMEOUT, context=context)
    return smtplib.SMTP(host, port or 25, timeout=_TIMEOUT)


def _reason(exc: Exception) -> str:
    """Return why, without what a server repeats of our credentials."""
    if isinstance(exc, smtplib.SMTPAuthenticationError):
        return "user or password were refused"
    if isinstance(exc, smtplib.SMTPResponseException):
        return f"status {exc.smtp_code}"
    return getattr(exc, "strerror", None) or type(exc).__name__
