"""Sends the messages of alerts: to a command, to a webhook, by mail. What can't be sent waits for the next run."""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import Any

import aiohttp
import anyio
import orjson
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_base, wait_random_exponential

from pipeline.alerts.mail import send_mail
from pipeline.child_environment import child_environment
from pipeline.config import AlertSettings
from pipeline.errors import AlertError, ConfigError
from pipeline.network.environment import open_session

WAIT: wait_base = wait_random_exponential(multiplier=1, max=10)
_ATTEMPTS = 3
_TIMEOUT = 15.0
_COMMAND_TIMEOUT = 60.0
_SHOWN_BYTES = 200
_BASE64_SECRET = "whsec_"  # noqa: S105 - how Standard Webhooks marks a secret in base64


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Sends messages; `environ` holds the secrets that alerts name, `wait` is the time between attempts."""

    environ: Mapping[str, str]
    wait: wait_base = WAIT

    async def send(self, alert: AlertSettings, way: str, message: Mapping[str, Any], message_id: str) -> None:
        """Send a message by one way of an alert; raises AlertError with one sentence, which shows no secret."""
        body = orjson.dumps({**message, "id": message_id})
        match way:
            case "command":
                await _run_command(alert.command, body)
            case "webhook":
                await self._post(alert, body, message_id)
            case _:
                password = self._secret(alert.smtp_password_env)
                await anyio.to_thread.run_sync(send_mail, alert, message, message_id, password)

    async def _post(self, alert: AlertSettings, body: bytes, message_id: str) -> None:
        url = alert.webhook or self._secret(alert.webhook_env)
        headers = {"content-type": "application/json", "user-agent": "image-insights-pipeline"}
        if alert.secret_env:
            headers |= sign(body, message_id, int(time.time()), self._secret(alert.secret_env))
        again = AsyncRetrying(
            stop=stop_after_attempt(_ATTEMPTS),
            wait=self.wait,
            retry=retry_if_exception_type(_MayPassError),
            sleep=anyio.sleep,
            reraise=True,
        )
        await again(_post_once, url, body, headers)

    def _secret(self, variable: str) -> str:
        if not variable:
            return ""
        if value := self.environ.get(variable, "").strip():
            return value
        raise AlertError(f"the environment variable {variable} is not set; export it")


class _MayPassError(AlertError):
    """A webhook that may take the message later."""


def sign(body: bytes, message_id: str, at: int, secret: str) -> dict[str, str]:
    """Return the headers that sign a message (Standard Webhooks 1.0): HMAC-SHA256 of its id, its time and its body.

    A secret that begins with whsec_ is base64, any other one is taken as it is.
    """
    key = b64decode(secret.removeprefix(_BASE64_SECRET)) if secret.startswith(_BASE64_SECRET) else secret.encode()
    signed = hmac.new(key, f"{message_id}.{at}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1,{b64encode(signed).decode()}"
    return {"webhook-id": message_id, "webhook-timestamp": str(at), "webhook-signature": signature}


async def _post_once(url: str, body: bytes, headers: Mapping[str, str]) -> None:
    """Send a message once; the errors of aiohttp may show the URL, which is a secret at many services."""
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
    try:
        async with (
            open_session(url, timeout) as session,
            session.post(url, data=body, headers=headers, allow_redirects=False) as response,
        ):
            status = response.status
    except ConfigError as exc:  # of the proxy, or the certificates
        raise AlertError(f"the webhook can't be reached: {exc}") from None
    except (aiohttp.ClientError, OSError, ValueError) as exc:
        raise _MayPassError(f"the webhook can't be reached ({type(exc).__name__})") from None
    if status in {408, 425, 429} or status >= 500:
        raise _MayPassError(f"the webhook answered with status {status}")
    if not 200 <= status < 300:
        raise AlertError(f"the webhook refused the message with status {status}")


async def _run_command(command: tuple[str, ...], body: bytes) -> None:
    """Run a command with the message on its standard input, a file, which it may leave unread; it gets no secrets."""
    try:
        with TemporaryFile() as message, anyio.fail_after(_COMMAND_TIMEOUT):
            message.write(body)
            message.seek(0)
            done = await anyio.run_process(command, stdin=message, check=False, env=child_environment(os.environ))
    except TimeoutError:
        raise AlertError(f"the command {command[0]} took longer than {_COMMAND_TIMEOUT:g} s") from None
    except OSError as exc:
        raise AlertError(f"the command {command[0]} can't be run ({exc.strerror})") from exc
    if done.returncode:
        said = done.stderr[-_SHOWN_BYTES:].decode("utf-8", "replace").strip()
        raise AlertError(
            f"the command {command[0]} ended with exit code {done.returncode}: {said or 'it said nothing'}"
        )
