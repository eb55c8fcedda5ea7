"""Accounts in the place of a key: tokens come from a token endpoint, are renewed in time, and are shown nowhere.

The endpoint is a fake on loopback, google-auth the real one; where it is missing, these tests are skipped.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web
from pydantic import SecretStr

from pipeline import run
from pipeline.config import read_key
from pipeline.errors import ConfigError
from pipeline.providers.google.credentials import Tokens
from pipeline.records import Problem
from tests.providers.google.conftest import MakeJob, google, sent
from tests.providers.google.fake_vision import FakeVision

pytest.importorskip("google.auth", reason="google-auth is not installed")
pytest.importorskip("cryptography", reason="cryptography, which google-auth brings, is not installed")

TOKEN = "ya29.token-{}-0123456789abcdef"


@dataclass(slots=True)
class TokenEndpoint:
    """Gives a new token for each request, or an error; each holds for `seconds`."""

    seconds: int = 3600
    error: tuple[int, dict[str, str]] | None = None
    requests: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    async def give(self, request: web.Request) -> web.Response:
        """Answer as oauth2.googleapis.com/token and sts.googleapis.com/v1/token do."""
        self.requests.append(dict(await request.post()))  # type: ignore[arg-type] # a form without files
        if self.error is not None:
            return web.json_response(self.error[1], status=self.error[0])
        body = {"access_token": TOKEN.format(len(self.requests)), "expires_in": self.seconds, "token_type": "Bearer"}
        return web.json_response(body | {"issued_token_type": "urn:ietf:params:oauth:token-type:access_token"})


@asynccontextmanager
async def listening(endpoint: TokenEndpoint) -> AsyncIterator[TokenEndpoint]:
    app = web.Application()
    app.router.add_post("/token", endpoint.give)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}/token"
    yield endpoint
    await runner.cleanup()


@pytest.fixture
async def tokens() -> AsyncIterator[TokenEndpoint]:
    """Serve tokens on loopback."""
    async with listening(TokenEndpoint()) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def private_key() -> str:
    """Return a private key in PEM form."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    return (
        rsa.generate_private_key(public_exponent=65537, key_size=2048)
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


@pytest.fixture
def service_account(tokens: TokenEndpoint, private_key: str) -> dict[str, str]:
    """Return the document of a service account, as Google's console gives it."""
    return {
        "type": "service_account",
        "project_id": "my-project",
        "private_key_id": "abc123",
        "private_key": private_key,
        "client_email": "job@my-project.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": tokens.url,
    }


@pytest.fixture
def workload(tokens: TokenEndpoint, tmp_path: Path) -> dict[str, Any]:
    """Return the document of a workload identity pool, whose proof of who runs here is in a file."""
    (tmp_path / "subject").write_text("proof-of-identity")
    return {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": tokens.url,
        "credential_source": {"file": str(tmp_path / "subject")},
        "quota_project_id": "billed-project",
    }


def secret(document: dict[str, Any]) -> SecretStr:
    return SecretStr(json.dumps(document))


async def test_a_service_account_gets_a_token_once(tokens: TokenEndpoint, service_account: dict[str, str]) -> None:
    """Many at once wait for one request, which is signed by the account; later ones use the same token."""
    got: list[SecretStr | Problem] = []
    source, key = Tokens(), secret(service_account)

    async def get() -> None:
        got.append(await source.token(key))

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(get)
    got.append(await source.token(key))
    assert {token.get_secret_value() for token in got if isinstance(token, SecretStr)} == {TOKEN.format(1)}
    assert len(got) == 9
    (asked,) = tokens.requests
    assert asked["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert asked["assertion"].count(".") == 2


async def test_a_token_is_renewed_before_it_expires(tokens: TokenEndpoint, service_account: dict[str, str]) -> None:
    """Minutes before, as a call may take a while; one that has expired is not sent at all."""
    source, key = Tokens(), secret(service_account)
    for number, left in enumerate((3600, 180, -1), start=1):
        await source.token(key)
        expiry = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=left)
        source._credentials.expiry = expiry
        token = await source.token(key)
        assert isinstance(token, SecretStr)
        assert token.get_secret_value() == TOKEN.format(number)
    assert len(tokens.requests) == 3


async def test_a_renewal_that_fails_does_no_harm_while_the_old_token_holds(
    tokens: TokenEndpoint, service_account: dict[str, str]
) -> None:
    """It is tried again a little later; once the token has expired, the reason is said."""
    source, key = Tokens(), secret(service_account)
    await source.token(key)
    tokens.error = (400, {"error": "invalid_grant"})
    source._credentials.expiry = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=100)
    for _ in range(3):
        token = await source.token(key)
        assert isinstance(token, SecretStr)
        assert token.get_secret_value() == TOKEN.format(1)
    asked = len(tokens.requests)
    source._credentials.expiry = datetime.now(UTC).replace(tzinfo=None)
    problem = await source.token(key)
    assert isinstance(problem, Problem)
    assert (problem.kind, asked, len(tokens.requests)) == ("refused", 2, 3)


async def test_workload_identity_exchanges_its_proof(tokens: TokenEndpoint, workload: dict[str, Any]) -> None:
    """For a token, by the file that it names; who is billed goes into a header of each call."""
    provider = google()
    token = await provider.token(secret(workload))
    assert isinstance(token, SecretStr)
    assert token.get_secret_value() == TOKEN.format(1)
    assert tokens.requests[0]["subject_token"] == "proof-of-identity"
    headers = dict(provider.authorise(sent(), token).headers)
    assert headers == {"Authorization": f"Bearer {TOKEN.format(1)}", "X-Goog-User-Project": "billed-project"}


async def test_an_account_that_is_not_known_is_refused(tokens: TokenEndpoint, service_account: dict[str, str]) -> None:
    """By the reason that Google gives."""
    tokens.error = (400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
    problem = await Tokens().token(secret(service_account))
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.code) == ("refused", "token-refused")
    assert "Invalid JWT Signature" in problem.message
    assert "PRIVATE KEY" not in repr(problem)


async def test_a_token_endpoint_that_is_away_is_no_refusal(service_account: dict[str, str]) -> None:
    """The next attempt may reach it."""
    problem = await Tokens().token(secret(service_account | {"token_uri": "http://127.0.0.1:1/token"}))
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.code) == ("transient", "token-unreachable")


async def test_without_google_auth_the_extra_is_named(
    service_account: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An API key needs no package."""
    monkeypatch.setitem(sys.modules, "google.auth", None)
    with pytest.raises(ConfigError, match=r"needs the package google.auth; install image-insights-pipeline\[google\]"):
        await google().token(secret(service_account))
    key = SecretStr("plain-key")
    assert await google().token(key) == key


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"type": "authorized_user"}, "holds no account of type"),
        ({"private_key": "damaged"}, "holds no account that can be used (ValueError)"),
        ({"client_email": None}, "holds no account that can be used"),
    ],
)
async def test_a_document_that_is_no_account_says_so(
    service_account: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    """Once and for all, without showing anything of it."""
    document = {name: value for name, value in (service_account | change).items() if value is not None}
    with pytest.raises(ConfigError, match=r"provider\.key_file") as refused:
        await Tokens().token(secret(document))
    assert said in str(refused.value)
    assert "PRIVATE" not in str(refused.value)


@pytest.fixture
def default_account(service_account: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let google-auth find an account by itself."""
    path = tmp_path / "default.json"
    path.write_text(json.dumps(service_account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))


@pytest.mark.usefixtures("default_account")
async def test_the_account_of_the_machine_is_found() -> None:
    """What google-auth finds by itself, where the config says so."""
    provider = google(application_default=True)
    key = read_key(provider.settings)
    assert key is not None
    token = await provider.token(key)
    assert isinstance(token, SecretStr)
    assert token.get_secret_value() == TOKEN.format(1)
    assert provider.secrets(key) == ()


async def test_a_machine_without_an_account_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that was named is not there."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))
    provider = google(application_default=True)
    with pytest.raises(ConfigError, match=r"application_default: finds no account here; run: gcloud auth"):
        await provider.token(SecretStr("application default credentials"))


def with_account(job: MakeJob, document: dict[str, Any], tmp_path: Path, pictures: int = 2) -> Any:
    """Return a job whose key is this document."""
    path = tmp_path / "account.json"
    path.write_text(json.dumps(document, indent=2))
    path.chmod(0o600)
    return job(pictures, provider={"key_env": "", "key_file": str(path)})


async def test_a_whole_job_with_a_service_account(
    job: MakeJob, vision: FakeVision, tokens: TokenEndpoint, service_account: dict[str, str], tmp_path: Path
) -> None:
    """The service gets tokens only; neither they nor the account's key are in any file of the job."""
    vision.keys, vision.tokens = set(), {TOKEN.format(1)}
    vision.faults.append({"status": 503, "error": {"error": {"code": 503, "message": "busy"}}, "echo": True})
    report = await run(with_account(job, service_account, tmp_path))
    assert (report.exit_code, report.tally.ok) == (0, 2), report.summary()
    assert {call["headers"]["Authorization"] for call in vision.calls} == {f"Bearer {TOKEN.format(1)}"}
    assert len(tokens.requests) == 1
    for path in (tmp_path / "out").rglob("*"):
        left = path.read_bytes() if path.is_file() else b""
        assert TOKEN.format(1).encode() not in left
        assert service_account["private_key"][30:60].encode() not in left


async def test_an_account_that_is_refused_ends_the_run_before_a_call(
    job: MakeJob, vision: FakeVision, tokens: TokenEndpoint, service_account: dict[str, str], tmp_path: Path
) -> None:
    """Exit code 4, and where the account was found."""
    tokens.error = (400, {"error": "invalid_grant", "error_description": "account not found"})
    report = await run(with_account(job, service_account, tmp_path))
    assert (report.exit_code, report.traffic.sends, vision.calls) == (4, 0, [])
    assert f"refused the key in {tmp_path}/account.json: no token is given to this account" in str(report.cause)


async def test_a_token_that_the_service_refuses_ends_the_run_after_one_call(
    job: MakeJob, vision: FakeVision, service_account: dict[str, str], tmp_path: Path
) -> None:
    """Exit code 4, like a wrong key."""
    vision.keys, vision.tokens = set(), {"another"}
    report = await run(with_account(job, service_account, tmp_path))
    assert (report.exit_code, len(vision.calls)) == (4, 1)


def test_a_key_file_may_be_the_document(job: MakeJob, tmp_path: Path, service_account: dict[str, str]) -> None:
    """As it came from the console; one that others can read is refused like any other key."""
    config = with_account(job, service_account, tmp_path)
    key = read_key(config.provider)
    assert key is not None
    assert json.loads(key.get_secret_value()) == service_account
    os.chmod(config.provider.key_file, 0o644)  # noqa: PTH101 - a text of the config
    with pytest.raises(ConfigError, match="chmod 600"):
        read_key(config.provider)
