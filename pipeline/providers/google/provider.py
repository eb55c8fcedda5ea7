"""The provider for Google Cloud Vision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from pipeline.network.waits import WAIT_HEADERS, wait_of_headers
from pipeline.providers.google.annotate_requests import TARGET, AnnotateRequests
from pipeline.providers.google.credentials import Tokens, is_account
from pipeline.providers.google.prices import usage_of_picture
from pipeline.providers.google.read import read_answer
from pipeline.providers.google.settings import GoogleSettings
from pipeline.records import (
    Advice,
    Answer,
    Form,
    Limits,
    Outcome,
    Prepared,
    Problem,
    Reading,
    RemoteUrl,
    Request,
    Row,
    Usage,
)

SERVICE_ID: Final = "vision.googleapis.com/v1"
MAX_BYTES: Final = 7_000_000  # a request may have 10 MB, and base64 makes 4 bytes of 3 (docs/quotas)
MAX_SIDE_PX: Final = 8_600  # below 75 million pixels, which is said to be the limit
USUAL_BYTES: Final = 1_000_000
USUAL_SIDE_PX: Final = 1_024  # more brings little, and takes longer (docs/supported-files)
FINE_SIDE_PX: Final = 1_600  # for faces by the same page; small text gains as much
_FINE: Final = frozenset({"text", "document_text", "faces"})
_KEY_HEADER: Final = "X-Goog-Api-Key"  # not the parameter `key`, which would be in every log of URLs
_GOOGLE: Final = ".googleapis.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Google:
    """Cloud Vision, one picture a call (a Provider, and a TokenService for accounts)."""

    name: str = "google"
    endpoint: str
    settings: GoogleSettings
    build: AnnotateRequests
    tokens: Tokens
    kept_headers: Sequence[str] = WAIT_HEADERS
    client_state: str | None = None

    @property
    def service_id(self) -> str:
        """Names the service: the same for all of its regional hosts, whose answers are alike."""
        return SERVICE_ID if _is_google(self.endpoint) else self.endpoint

    @property
    def limits(self) -> Limits:
        """What a picture may be, and what is enough for the features (Vision docs/supported-files)."""
        forms: set[Form] = {"bytes", "url"} if self.settings.url_form == "url" else {"bytes"}
        return Limits(
            max_bytes=MAX_BYTES,
            max_side_px=MAX_SIDE_PX,
            forms=frozenset(forms),
            usual_bytes=USUAL_BYTES,
            usual_side_px=FINE_SIDE_PX if _FINE & set(self.settings.features) else USUAL_SIDE_PX,
            is_upright=True,
        )

    def requests(self, row: Row, prepared: Prepared | None) -> Sequence[Request]:
        """Build the one call of a row."""
        return (self.build.build(row, prepared),)

    def max_calls(self, row: Row) -> int:
        """Return 1, or 2 where the service may fail to load a URL, so that the bytes are sent after all."""
        return 2 if isinstance(row.image, RemoteUrl) and self.settings.url_form == "url" else 1

    async def token(self, key: SecretStr) -> SecretStr | Problem:
        """Return an API key as it is, and a token for the document of an account."""
        if self.settings.application_default or is_account(key.get_secret_value()):
            return await self.tokens.token(key)
        return key

    def authorise(self, request: Request, key: SecretStr) -> Request:
        """Return the request with the key or the token in its header, for the project's region.

        Neither the project nor the region changes an answer, so they are no part of the request itself.
        """
        text, project, region = key.get_secret_value(), self.settings.project, self.settings.region
        headers = [*request.headers]
        if not self.tokens.are_used:
            headers.append((_KEY_HEADER, text))
        else:
            headers.append(("Authorization", f"Bearer {text}"))
            if self.tokens.quota_project:
                headers.append(("X-Goog-User-Project", self.tokens.quota_project))
        target = f"/v1/projects/{project}/locations/{region}/images:annotate" if region else TARGET
        return replace(request, target=target, headers=tuple(headers))

    def secrets(self, key: SecretStr) -> Sequence[str]:
        """Return an API key; the document of an account is never sent, and its tokens are secrets of their own."""
        text = key.get_secret_value()
        return () if self.settings.application_default or is_account(text) else (text,)

    def advice(self, answer: Answer) -> Advice:
        """Return what Retry-After says."""
        return Advice(wait=wait_of_headers(answer.headers, answer.asked_at + answer.ms / 1000))

    def estimate(self, _request: Request) -> Usage:
        """Return one unit of each feature, at its price."""
        return usage_of_picture(self.settings.features, self.settings.prices)

    def usage(self, request: Request, answer: Answer) -> Usage:
        """Return the same for an answer of status 200, even where a feature has failed in it, and nothing for others.

        Whether failed features are billed is not documented; what is counted is then too high, never too low.
        """
        return (
            self.estimate(request) if answer.status == 200 else Usage(cost=0.0, currency=self.settings.prices.currency)
        )

    def trace_id(self, _answer: Answer) -> str | None:
        """Return None: answers name no id."""
        return None

    def read(self, request: Request, answer: Answer) -> Outcome:
        """Understand one answer; never raises, whatever the bytes are."""
        insights = read_answer(request, answer, self.settings.features)
        return insights if isinstance(insights, Problem) else Reading(insights=insights)


def make_google(settings: GoogleSettings, endpoint: str) -> Google:
    """Return the provider for the service at `endpoint`."""
    return Google(
        endpoint=endpoint,
        settings=settings,
        build=AnnotateRequests(settings),
        tokens=Tokens(is_default=settings.application_default),
    )


def _is_google(endpoint: str) -> bool:
    return (urlsplit(endpoint).hostname or "").endswith(_GOOGLE)
