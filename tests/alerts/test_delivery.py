"""Messages reach a command, a webhook and a mailbox; secrets are in no message and no error."""

from __future__ import annotations

import hashlib
import hmac
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from tenacity import wait_none

from pipeline.alerts.delivery import Sender, sign
from pipeline.config import AlertSettings
from pipeline.errors import AlertError
from tests.alerts.places import MailServer, Webhook, running_mail_server, running_webhook

SECRET = "s3cret-s3cret"
MESSAGE = {"schema": "1", "alert": "sale", "text": "sale (out)\nmug: 25.0 -> 18.0 EUR\u202e", "changes": []}


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with running_webhook() as running:
        yield running


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    with running_mail_server() as running:
        yield running


def alert(**ways: Any) -> AlertSettings:
    return AlertSettings(when="new page", **ways)


def sender(**environ: str) -> Sender:
    return Sender(environ=environ, wait=wait_none())


async def test_a_webhook_gets_a_signed_message(webhook: Webhook) -> None:
    """The signature is that of Standard Webhooks: HMAC-SHA256 of id, time and body, in base64."""
    await sender(HOOK_SECRET=SECRET).send(
        alert(webhook=webhook.url, secret_env="HOOK_SECRET"), "webhook", MESSAGE, "m1"
    )
    ((headers, body),) = webhook.received
    assert orjson.loads(body) == {**MESSAGE, "id": "m1"}
    signed = f"m1.{headers['webhook-timestamp']}.".encode() + body
    expected = b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
    assert (headers["webhook-id"], headers["webhook-signature"]) == ("m1", f"v1,{expected}")
    assert SECRET.encode() not in body


def test_the_signature_is_that_of_the_standard() -> None:
    """The example of the specification, Standard Webhooks 1.0.0, whose secret is base64."""
    body = b'{"test": 2432232314}'
    headers = sign(body, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_the_address_of_a_webhook_may_be_a_secret(webhook: Webhook) -> None:
    """It comes from the environment, and no error shows it."""
    named = alert(webhook_env="HOOK_URL")
    await sender(HOOK_URL=webhook.url).send(named, "webhook", MESSAGE, "m1")
    assert len(webhook.received) == 1
    with pytest.raises(AlertError, match="the environment variable HOOK_URL is not set"):
        await sender().send(named, "webhook", MESSAGE, "m1")
    with pytest.raises(AlertError) as raised:
        await sender(HOOK_URL=f"http://127.0.0.1:1/{SECRET}").send(named, "webhook", MESSAGE, "m1")
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("statuses", "attempts", "said"),
    [
        ([500, 429], 3, ""),
        ([503, 503, 503], 3, "the webhook answered with status 503"),
        ([404], 1, "the webhook refused the message with status 404"),
        ([302], 1, "the webhook refused the message with status 302"),
    ],
)
async def test_a_webhook_is_tried_again_where_that_can_help(
    webhook: Webhook, statuses: list[int], attempts: int, said: str
) -> None:
    """Three attempts where it may pass, one where it is refused; a redirect is not followed."""
    webhook.statuses = list(statuses)
    if said:
        with pytest.raises(AlertError, match=said):
            await sender().send(alert(webhook=webhook.url), "webhook", MESSAGE, "m1")
    else:
        await sender().send(alert(webhook=webhook.url), "webhook", MESSAGE, "m1")
    assert len(webhook.received) == attempts


async def test_a_command_gets_the_message_on_its_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As JSON, without our secrets in its environment."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    code = "import os, sys; open(sys.argv[1], 'w').write(sys.stdin.read() + str(dict(os.environ)))"
    out = tmp_path / "out.txt"
    await sender().send(alert(command=(sys.executable, "-c", code, str(out))), "command", MESSAGE, "m1")
    assert '"alert":"sale"' in out.read_text()
    assert SECRET not in out.read_text()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ((sys.executable, "-c", "import sys; sys.exit('no room')"), r"ended with exit code 1: no room"),
        (("/nowhere/at-all",), r"the command /nowhere/at-all can't be run \(No such file"),
    ],
)
async def test_a_command_that_fails_is_named(command: tuple[str, ...], said: str) -> None:
    """With what it said last."""
    with pytest.raises(AlertError, match=said):
        await sender().send(alert(command=command), "command", MESSAGE, "m1")


async def test_a_mail_says_it_in_words(mail_server: MailServer) -> None:
    """The first line is the subject; control characters of the web are none there."""
    settings = alert(mail="shop@example.com", sender="robot@example.com", smtp=mail_server.url)
    await sender().send(settings, "mail", MESSAGE, "m1")
    (mail,) = mail_server.received
    assert (mail["to"], mail["from"], mail["subject"]) == ("shop@example.com", "robot@example.com", "sale (out)")
    assert mail["message-id"] == "<m1@image-insights.invalid>"
    payload = mail.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert "25.0 -> 18.0 EUR" in payload.decode()


async def test_a_mail_that_is_refused_is_an_error(mail_server: MailServer) -> None:
    """One sentence names the server."""
    mail_server.refuses = True
    with pytest.raises(AlertError, match=r"the mail can't be sent through 127\.0\.0\.1"):
        await sender().send(alert(mail="shop@example.com", smtp=mail_server.url), "mail", MESSAGE, "m1")
    with pytest.raises(AlertError, match=r"the mail can't be sent through 127\.0\.0\.1 \(Connection refused\)"):
        await sender().send(alert(mail="shop@example.com", smtp="smtp://127.0.0.1:1"), "mail", MESSAGE, "m1")
