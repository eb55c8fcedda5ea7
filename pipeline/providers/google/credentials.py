"""Tokens of accounts: the document of a service account or of workload identity, exchanged through google-auth.

The one part of a provider that waits for others: what it gets goes into requests like a key. google-auth is an extra.
"""

from __future__ import annotations

import json
import os
from functools import partial
from typing import Any, Final

from anyio import CapacityLimiter, Lock, current_time, to_thread
from pydantic import SecretStr

from pipeline.errors import ConfigError
from pipeline.records import Problem

SCOPES: Final = ("https://www.googleapis.com/auth/cloud-vision",)
_TIMEOUT: Final = 20.0  # of one request for a token
_TRY_AGAIN: Final = 15.0  # after a renewal has failed while the old token still holds
_AWS: Final = "urn:ietf:params:aws:token-type:aws4_request"
_INSTALL: Final = "install image-insights-pipeline[google]"


def is_account(key: str) -> bool:
    """Return True if a key is the document of an account, which is exchanged for tokens."""
    return key.startswith("{")


class Tokens:
    """Gets tokens for one account, one request at a time, and a new one some minutes before the old one expires.

    `is_default`: the account is what google-auth finds on this machine, and the key only its name.
    """

    def __init__(self, *, is_default: bool = False) -> None:
        self.quota_project = ""
        self._is_default = is_default
        self._credentials: Any = None
        self._lock = Lock()
        self._thread = CapacityLimiter(1)
        self._not_before = 0.0

    @property
    def are_used(self) -> bool:
        """Return True once an account has its first token."""
        return self._credentials is not None

    async def token(self, key: SecretStr) -> SecretStr | Problem:
        """Return a token that holds, or why there is none; raises ConfigError where there never will be."""
        if self._is_due() and not (self._holds() and self._lock.locked()):  # who comes meanwhile uses the old one
            async with self._lock:
                problem = await self._renew_if_due(key)
            if problem is not None:
                return problem
        return SecretStr(self._credentials.token)

    async def _renew_if_due(self, key: SecretStr) -> Problem | None:
        """Get a new token, unless another task did so meanwhile; return why there is none that holds."""
        if not self._is_due():
            return None
        problem = await to_thread.run_sync(self._renew, key, limiter=self._thread, abandon_on_cancel=True)
        if problem is not None and self._holds():
            self._not_before = current_time() + _TRY_AGAIN
            return None
        return problem

    def _is_due(self) -> bool:
        """Return True if the token must be renewed: it expires soon, or there is none that holds."""
        if not self._holds():
            return True
        return self._credentials.token_state.name == "STALE" and current_time() >= self._not_before

    def _holds(self) -> bool:
        return self._credentials is not None and self._credentials.token_state.name != "INVALID"

    def _renew(self, key: SecretStr) -> Problem | None:
        """Get a new token, in a worker thread; return what went wrong."""
        try:
            from google.auth import exceptions  # noqa: PLC0415 - the package is an extra
            from google.auth.transport.requests import Request  # noqa: PLC0415 - as above
        except ModuleNotFoundError as exc:
            raise ConfigError("provider.key_file", [f"an account needs the package {exc.name}; {_INSTALL}"]) from exc
        request = Request()
        request.session.verify = os.environ.get("SSL_CERT_FILE") or True
        try:
            if self._credentials is None:
                self._credentials = self._load(key)
                self.quota_project = self._credentials.quota_project_id or ""
            self._credentials.refresh(partial(request, timeout=_TIMEOUT))
        except (exceptions.TransportError, exceptions.RefreshError) as exc:
            return _problem(exc, may_pass=isinstance(exc, exceptions.TransportError) or exc.retryable)
        finally:
            request.session.close()
        return None

    def _load(self, key: SecretStr) -> Any:
        """Return the account's credentials of google-auth; raises ConfigError where the document describes none."""
        import google.auth  # noqa: PLC0415 - the package is an extra

        if self._is_default:
            try:
                return google.auth.default(scopes=SCOPES)[0]
            except google.auth.exceptions.DefaultCredentialsError as exc:
                way_out = "run: gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS"
                raise ConfigError("provider.application_default", [f"finds no account here; {way_out}"]) from exc
        document = json.loads(key.get_secret_value())
        try:
            return _credentials(document)
        except (ValueError, KeyError, google.auth.exceptions.GoogleAuthError) as exc:
            kind = type(exc).__name__
            raise ConfigError("provider.key_file", [f"holds no account that can be used ({kind})"]) from None


def _credentials(document: dict[str, Any]) -> Any:
    """Return the credentials of a document by its type; each type has its own loader, as google-auth advises."""
    from google.auth import aws, identity_pool  # noqa: PLC0415 - the package is an extra
    from google.oauth2 import service_account  # noqa: PLC0415 - as above

    match document.get("type"):
        case "service_account":
            return service_account.Credentials.from_service_account_info(document, scopes=SCOPES)
        case "external_account" if document.get("subject_token_type") == _AWS:
            return aws.Credentials.from_info(document, scopes=SCOPES)
        case "external_account":
            return identity_pool.Credentials.from_info(document, scopes=SCOPES)
    raise ConfigError(
        "provider.key_file",
        ['holds no account of type "service_account" or "external_account"; for others set application_default = true'],
    )


def _problem(exc: Exception, *, may_pass: bool) -> Problem:
    """Return why there is no token; the first argument alone says it, the others hold the whole answer."""
    said = str(exc.args[0]) if exc.args else type(exc).__name__
    if may_pass:
        return Problem(kind="transient", code="token-unreachable", message=f"no token is available now: {said}")
    return Problem(kind="refused", code="token-refused", message=f"no token is given to this account: {said}")
