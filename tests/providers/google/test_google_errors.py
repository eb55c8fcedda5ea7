"""What a status means: a wrong key is a 400, a quota may be that of a minute or of a day."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.records import Problem
from tests.providers.google.conftest import answer_of, google, sent
from tests.providers.google.fake_vision import error, quota_error


def outcome_of(status: int, body: Any, headers: dict[str, str] | None = None, form: str = "bytes") -> Problem:
    request = sent() if form == "bytes" else sent(None)
    outcome = google(url_form="url").read(request, answer_of(body, status, headers))
    assert isinstance(outcome, Problem)
    assert outcome.http_status == status
    return outcome


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (error(400, "INVALID_ARGUMENT", "API key not valid.", reason="API_KEY_INVALID"), "refused", "api-key-invalid"),
        (error(400, "INVALID_ARGUMENT", "API key expired. Please renew the API key."), "refused", "invalid-argument"),
        (error(401, "UNAUTHENTICATED", "Bad token.", reason="ACCESS_TOKEN_EXPIRED"), "refused", "access-token-expired"),
        (error(403, "PERMISSION_DENIED", "Vision is off.", reason="SERVICE_DISABLED"), "refused", "service-disabled"),
        (error(403, "PERMISSION_DENIED", "No billing."), "refused", "permission-denied"),
        (error(400, "INVALID_ARGUMENT", "Unknown name."), "misconfigured", "invalid-argument"),
        (error(400, "INVALID_ARGUMENT", "Request payload size exceeds the limit: 1 bytes."), "row", "invalid-argument"),
        (error(404, "NOT_FOUND", "Requested entity was not found."), "misconfigured", "not-found"),
        (error(408, "", "Timeout"), "transient", "http-408"),
        (error(499, "CANCELLED", "Cancelled."), "transient", "cancelled"),
        (error(500, "INTERNAL", "Internal."), "transient", "internal"),
        (error(503, "UNAVAILABLE", "Later."), "transient", "unavailable"),
        (error(504, "DEADLINE_EXCEEDED", "Too slow."), "transient", "deadline-exceeded"),
        ((413, "<html>"), "row", "http-413"),
        ((502, b"<html>Bad gateway"), "transient", "http-502"),
        ((403, b"<html>Forbidden"), "refused", "http-403"),
        ((404, b""), "misconfigured", "http-404"),
        ((400, {"error": "no object"}), "misconfigured", "http-400"),
    ],
    ids=lambda value: str(value[0]) if isinstance(value, tuple) else None,
)
def test_each_status_has_its_kind(answer: tuple[int, Any], kind: str, code: str) -> None:
    """By what the service itself calls it, where it does."""
    outcome = outcome_of(*answer)
    assert (outcome.kind, outcome.code) == (kind, code)
    assert outcome.message


@pytest.mark.parametrize(
    ("answer", "headers", "wait"),
    [
        (quota_error("label_detection", 12.5), {}, 12.5),
        (quota_error("label_detection", 0), {"retry-after": "7"}, 7.0),
        (quota_error("label_detection", 0), {}, 45.0),
        ((429, b"<html>"), {}, 45.0),
    ],
    ids=["RetryInfo", "Retry-After", "the next minute", "no JSON"],
)
def test_too_many_pictures_wait_until_there_is_room(
    answer: tuple[int, Any], headers: dict[str, str], wait: float
) -> None:
    """Without a word of the service: until the next minute, as quotas are counted by the minute."""
    outcome = outcome_of(*answer, headers)
    assert (outcome.kind, outcome.retry_after) == ("throttled", wait)


@pytest.mark.parametrize(
    "answer",
    [quota_error("labels", 0, per="Day"), error(429, "RESOURCE_EXHAUSTED", "Quota exceeded: 'Requests per day'")],
    ids=["by its limit", "by its message"],
)
def test_a_day_s_quota_ends_the_run(answer: tuple[int, Any]) -> None:
    """The next minute would not help."""
    assert outcome_of(*answer).kind == "quota"


def test_what_the_service_said_beyond_its_message_is_kept() -> None:
    """The quota and its limit, for the failure's details."""
    outcome = outcome_of(*quota_error("web_detection", 1))
    assert outcome.details["code"] == "RESOURCE_EXHAUSTED"
    assert "quota_limit: RequestsWeb_DetectionPerMinutePerProject" in outcome.details["more"]


def test_a_url_that_a_call_is_refused_for_is_sent_as_bytes() -> None:
    """A 400 may be about the URL; about settings it would come again with the bytes."""
    refused = error(400, "INVALID_ARGUMENT", "Invalid image URI.")
    outcome = outcome_of(*refused, form="url")
    assert (outcome.kind, outcome.needs_bytes) == ("row", True)
    wrong_key = error(400, "INVALID_ARGUMENT", "API key not valid.", reason="API_KEY_INVALID")
    assert outcome_of(*wrong_key, form="url").kind == "refused"
