"""Every error response becomes one of six kinds of problem."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.providers.bing.provider import Bing
from pipeline.records import Answer, Problem, Reading, Request


def error(code: str, sub_code: str = "", **more: str) -> dict[str, Any]:
    fields = {"code": code, **({"subCode": sub_code} if sub_code else {}), "message": "Said the service.", **more}
    return {"_type": "ErrorResponse", "errors": [fields]}


def hinted(*categories: str) -> dict[str, Any]:
    return {"_type": "ImageKnowledge", "imageQualityHints": [{"category": category} for category in categories]}


RATE = {"statusCode": 429, "message": "Rate limit is exceeded. Try again in 26 seconds."}
QUOTA = {"statusCode": 403, "message": "Out of call volume quota. Quota will be replenished in 2.12 days."}
CASES: list[tuple[int, Any, str, str]] = [
    (500, error("ServerError", "UnexpectedError"), "transient", "unexpected-error"),
    (500, error("ServerError", "ResourceError"), "transient", "resource-error"),
    (500, error("ServerError", "NotImplemented"), "misconfigured", "not-implemented"),
    (400, error("InvalidRequest", "ParameterMissing", parameter="imageInfo"), "row", "parameter-missing"),
    (400, error("InvalidRequest", "ParameterInvalidValue", parameter="url"), "row", "parameter-invalid-value"),
    (
        400,
        error("InvalidRequest", "ParameterInvalidValue", parameter="mkt"),
        "misconfigured",
        "parameter-invalid-value",
    ),
    (400, error("InvalidRequest", "ParameterInvalidValue", parameter="Accept-Language"), "misconfigured", ""),
    (
        400,
        error("InvalidRequest", "ParameterInvalidValue", parameter="knowledgeRequest.invokedSkills"),
        "misconfigured",
        "",
    ),
    (410, error("InvalidRequest", "HttpNotAllowed"), "misconfigured", "http-not-allowed"),
    (400, error("InvalidRequest", "Blocked"), "row", "blocked"),
    (400, error("InvalidRequest"), "row", "invalid-request"),
    (429, error("RateLimitExceeded"), "throttled", "rate-limit-exceeded"),
    (403, error("RateLimitExceeded"), "quota", "quota-used-up"),
    (401, error("InvalidAuthorization", "AuthorizationMissing"), "refused", "authorization-missing"),
    (401, error("InvalidAuthorization", "AuthorizationRedundancy"), "refused", "authorization-redundancy"),
    (403, error("InsufficientAuthorization", "AuthorizationDisabled"), "refused", "authorization-disabled"),
    (403, error("InsufficientAuthorization", "AuthorizationExpired"), "refused", "authorization-expired"),
    (401, {"error": {"code": "401", "message": "Access denied"}}, "refused", "http-401"),
    (403, {"error": {"code": "403", "message": "Out of call volume quota."}}, "quota", "quota-used-up"),
    (401, {"code": "401", "message": "Access denied"}, "refused", "http-401"),
    (200, {"code": "401", "message": "Access denied"}, "refused", "http-401"),
    (200, error("InvalidRequest", "ParameterMissing"), "row", "parameter-missing"),
    (200, RATE, "throttled", "http-429"),
    (429, RATE, "throttled", "http-429"),
    (403, QUOTA, "quota", "quota-used-up"),
    (429, QUOTA, "quota", "quota-used-up"),
    (403, b"Out of call volume quota. Quota will be replenished in 05:10:00.", "quota", "quota-used-up"),
    (403, b"<html>Forbidden</html>", "refused", "http-403"),
    (401, b"", "refused", "http-401"),
    (404, b"<html>no such page</html>", "misconfigured", "not-found"),
    (404, error("InvalidRequest", parameter="path"), "misconfigured", "not-found"),
    (410, b"", "misconfigured", "http-410"),
    (400, b"", "row", "http-400"),
    (413, b"", "row", "http-413"),
    (415, b"", "row", "http-415"),
    (408, b"", "transient", "http-408"),
    (429, b"", "throttled", "http-429"),
    (500, b"<html>", "transient", "http-500"),
    (501, b"", "misconfigured", "http-501"),
    (502, b"", "transient", "http-502"),
    (503, b"", "transient", "http-503"),
    (504, b"", "transient", "http-504"),
    (301, b"", "misconfigured", "http-301"),
    (200, b"", "throttled", "empty-body"),
    (200, b"\xef\xbb\xbf  \r\n", "throttled", "empty-body"),
    (200, b'{"_type": "ImageKnow', "transient", "not-json"),
    (200, b'{"_type": ', "transient", "not-json"),
    (200, b'{"_type": "ImageKnowledge",, "tags": []}', "unreadable", "not-json"),
    (402, b"", "quota", "quota-used-up"),
    (409, b"", "transient", "http-409"),
    (423, b"", "transient", "http-423"),
    (424, b"", "transient", "http-424"),
    (425, b"", "transient", "http-425"),
    (499, b"", "transient", "http-499"),
    (400, b"Too many requests: please slow down", "throttled", "http-400"),
    (400, {"error": {"code": "RateLimit", "message": "throttled"}}, "throttled", "rate-limit"),
    (429, {"error": {"code": "insufficient_quota", "message": "no"}}, "quota", "quota-used-up"),
    (429, {"error": "Your account has run out of searches."}, "quota", "quota-used-up"),
    (200, b"<html>welcome to this hotel</html>", "transient", "not-json"),
    (200, {"_type": "Images", "value": []}, "transient", "unexpected-answer"),
    (200, [], "transient", "unexpected-answer"),
    (200, hinted("ImageDimensionsExceedLimit"), "row", "image-dimensions-exceed-limit"),
    (200, hinted("ImageByteSizeExceedsLimit"), "row", "image-byte-size-exceeds-limit"),
    (200, hinted("ImageDownloadFailed"), "row", "image-download-failed"),
    (200, hinted("UnknownFormat"), "row", "unknown-format"),
    (200, hinted("UnknownFormat", "ServiceUnavailable"), "transient", "service-unavailable"),
]


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    CASES,
    ids=[f"{number}-{case[0]}-{case[2]}" for number, case in enumerate(CASES)],
)
def test_kinds(
    status: int,
    body: Any,
    kind: str,
    code: str,
    make: Callable[..., Bing],
    request_for: Callable[..., Request],
    answer: Callable[..., Answer],
) -> None:
    """Every code, sub-code, status and shape of the documents has its one kind and a stable code."""
    problem = make(market="en-US").read(request_for(), answer(body, status))
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.http_status) == (kind, status)
    assert problem.code == code or not code
    assert problem.message


def test_a_hint_comes_with_the_reason_of_the_service(
    make: Callable[..., Bing], request_for: Callable[..., Request], answer: Callable[..., Answer]
) -> None:
    """The embedded service says what is wrong, such as which setting keeps it from loading a picture."""
    said = {"unavailable": [{"kind": "picture", "reason": "service.fetch_urls is false"}]}
    problem = make(market="en-US").read(request_for(), answer({**hinted("ImageDownloadFailed"), **said}))
    assert isinstance(problem, Problem)
    assert problem.message.endswith("ImageDownloadFailed (service.fetch_urls is false)")


def test_keeps_the_content_of_an_error(
    make: Callable[..., Bing], request_for: Callable[..., Request], answer: Callable[..., Answer]
) -> None:
    """Code, parameter, value, details and trace id are kept, and the messages of further errors."""
    body = error("InvalidRequest", "ParameterInvalidValue", parameter="url", value="x", moreDetails="No URL.")
    body["errors"].append({"code": "ServerError", "message": "And more."})
    problem = make().read(request_for(), answer(body, 400, bingapis_traceid="T1"))
    assert isinstance(problem, Problem)
    assert problem.message == "Said the service. No URL. (parameter url)"
    assert problem.details == {
        "code": "InvalidRequest",
        "sub_code": "ParameterInvalidValue",
        "parameter": "url",
        "value": "x",
        "more": "No URL.",
        "also": "And more.",
        "trace_id": "T1",
    }


def test_never_repeats_the_key(
    make: Callable[..., Bing], request_for: Callable[..., Request], answer: Callable[..., Answer]
) -> None:
    """The key never gets into a Problem, even if the response quotes it."""
    body = error("InvalidAuthorization", parameter="Ocp-Apim-Subscription-Key", value="s3cret")
    assert "s3cret" not in repr(make().read(request_for(), answer(body, 401)))


def test_a_row_with_its_own_market_fails_alone(
    make: Callable[..., Bing], request_for: Callable[..., Request], answer: Callable[..., Answer]
) -> None:
    """A refused market stops the run if it is the config's, and fails the row if it is the row's own."""
    refused = answer(error("InvalidRequest", "ParameterInvalidValue", parameter="mkt"), 400)
    outcome = make(market="de-DE").read(request_for("/images/visualsearch?mkt=en-US"), refused)
    assert isinstance(outcome, Problem)
    assert outcome.kind == "row"


def test_a_long_url_explains_404(
    make: Callable[..., Bing], request_for: Callable[..., Request], answer: Callable[..., Answer]
) -> None:
    """A 404 is the row's fault if the URL has more than 2,048 characters, else it is the configured path's."""
    outcome = make().read(request_for("/images/details?q=" + "x" * 2048), answer(b"", 404))
    assert isinstance(outcome, Problem)
    assert (outcome.kind, outcome.code) == ("row", "url-too-long")
    outcome = make().read(request_for("/images/details?q=x"), answer(error("InvalidRequest", parameter="path"), 404))
    assert isinstance(outcome, Problem)
    assert outcome.message == "Said the service. (parameter path); check the path of provider.endpoint"


@pytest.mark.parametrize(
    "body",
    [
        {"_type": "ImageKnowledge", "tags": [], "image": {"imageInsightsToken": "t"}},
        {"_type": "ImageKnowledge"},
        {"_type": "ImageInsights", "imageInsightsToken": "t"},
    ],
)
def test_no_insights_are_a_success(
    body: Any, make: Callable[..., Bing], request_for: Callable[..., Request], answer: Callable[..., Answer]
) -> None:
    """A response without insights is a success."""
    assert isinstance(make().read(request_for(), answer(body)), Reading)


def test_hints_beside_results_are_kept(
    make: Callable[..., Bing],
    request_for: Callable[..., Request],
    answer: Callable[..., Answer],
    own: Callable[[str], Any],
) -> None:
    """A hint is not a problem if the response has results."""
    outcome = make().read(request_for(), answer(own("knowledge")))
    assert isinstance(outcome, Reading)
    assert outcome.insights["hints"] == ["LowResolution"]
