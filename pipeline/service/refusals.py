"""The errors that the service sends: one exception, and the ErrorResponse bodies.

Source: Image Search reference, Error codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from pipeline.errors import ServiceError

Code = Literal[
    "ServerError", "InvalidRequest", "RateLimitExceeded", "InvalidAuthorization", "InsufficientAuthorization"
]

# Of each text in an error.
MAX_CHARS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The response to a refused request: the HTTP status and the members of the Error object; None: not sent."""

    status: int
    code: Code
    message: str
    sub_code: str | None = None
    parameter: str | None = None
    value: str | None = None
    more_details: str | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def body(self) -> dict[str, object]:
        """Return the ErrorResponse object."""
        members = {
            "code": self.code,
            "subCode": self.sub_code,
            "message": self.message,
            "moreDetails": self.more_details,
            "parameter": self.parameter,
            "value": self.value,
        }
        errors = [{name: _shown(value) for name, value in members.items() if value is not None}]
        return {"_type": "ErrorResponse", "errors": errors}


def _shown(value: str) -> str:
    """Return text of bounded length that can be sent, whatever a caller wrote in it."""
    cut = value if len(value) <= MAX_CHARS else f"{value[: MAX_CHARS - 1]}…"
    return cut.encode("utf-8", "backslashreplace").decode()


class Refused(ServiceError):
    """A request is refused, with an ErrorResponse."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(refusal.message)


def missing(parameter: str, details: str | None = None) -> Refused:
    """400: a required parameter, header or form part is missing."""
    return Refused(
        Refusal(
            status=400,
            code="InvalidRequest",
            sub_code="ParameterMissing",
            message="Required parameter is missing.",
            parameter=parameter,
            more_details=details,
        )
    )


def invalid(parameter: str, value: object, details: str) -> Refused:
    """400: a value breaks its rule; `details` is the rule, and `value` is cut to 200 characters."""
    return Refused(
        Refusal(
            status=400,
            code="InvalidRequest",
            sub_code="ParameterInvalidValue",
            message="Parameter has invalid value.",
            parameter=parameter,
            value=str(value)[:200],
            more_details=details,
        )
    )


def url_too_long(length: int) -> Refused:
    """404: the URL has more than 2,048 characters."""
    return Refused(
        Refusal(
            status=404,
            code="InvalidRequest",
            message="Not found.",
            more_details=f"The URL has {length} characters; 2,048 are allowed.",
        )
    )


def not_found(path: str) -> Refused:
    """404: no endpoint has this path."""
    return Refused(Refusal(status=404, code="InvalidRequest", message="Not found.", parameter="path", value=path[:200]))


def method_not_allowed(method: str, allowed: str) -> Refused:
    """405: the endpoint does not have this method."""
    return Refused(
        Refusal(
            status=405,
            code="InvalidRequest",
            message="Method not allowed.",
            parameter="method",
            value=method,
            more_details=f"Allowed: {allowed}.",
            headers={"Allow": allowed},
        )
    )


def refused_by_http(status: int, reason: str) -> Refused:
    """Any status of HTTP's own, such as 417 for an expectation that can't be met."""
    return Refused(Refusal(status=status, code="InvalidRequest", message=f"{reason}."))


def https_required() -> Refused:
    """410: the service accepts HTTPS only, and the request came as plain HTTP."""
    return Refused(
        Refusal(status=410, code="InvalidRequest", sub_code="HttpNotAllowed", message="HTTP is not allowed; use HTTPS.")
    )


def misdirected(host: str) -> Refused:
    """421: the Host header names a host that a service without keys does not answer to."""
    return Refused(
        Refusal(
            status=421,
            code="InvalidRequest",
            sub_code="ParameterInvalidValue",
            message="This service doesn't answer to this name.",
            parameter="Host",
            value=host[:200],
            more_details="Without keys it answers to localhost, 127.0.0.1, [::1] and the host of service.base_url.",
        )
    )


def foreign_origin(origin: str) -> Refused:
    """403: a web page of another host has sent the request to a service without keys."""
    return Refused(
        Refusal(
            status=403,
            code="InsufficientAuthorization",
            message="Pages of other hosts may not use this service.",
            parameter="Origin",
            value=origin[:200],
            more_details="Without keys it answers only its own page and pages of this machine.",
        )
    )


def cross_site(site: str) -> Refused:
    """403: the browser says that a page of another site has made it send the request."""
    return Refused(
        Refusal(
            status=403,
            code="InsufficientAuthorization",
            message="Pages of other sites may not use this service.",
            parameter="Sec-Fetch-Site",
            value=site[:200],
            more_details="Without keys it answers only its own page and pages of this machine.",
        )
    )


def unauthorized(details: str, *, redundant: bool = False) -> Refused:
    """401: no key, an unknown key, or (`redundant`) more than one way of authenticating."""
    return Refused(
        Refusal(
            status=401,
            code="InvalidAuthorization",
            sub_code="AuthorizationRedundancy" if redundant else "AuthorizationMissing",
            message="Authorization is redundant." if redundant else "Authorization is required.",
            more_details=details,
        )
    )


def forbidden(state: Literal["disabled", "expired"]) -> Refused:
    """403: the key is known, but it is disabled or has expired."""
    return Refused(
        Refusal(
            status=403,
            code="InsufficientAuthorization",
            sub_code="AuthorizationDisabled" if state == "disabled" else "AuthorizationExpired",
            message=f"The subscription key is {state}.",
        )
    )


def too_many_requests(retry_after: int, details: str) -> Refused:
    """429: the key's queries per second are used up, or the service has too much work in progress."""
    return Refused(
        Refusal(
            status=429,
            code="RateLimitExceeded",
            message=f"Rate limit is exceeded. Try again in {retry_after} seconds.",
            more_details=details,
            headers={"Retry-After": str(retry_after)},
        )
    )


def temporary_failure(retry_after: int, details: str) -> Refused:
    """503: the request failed for a reason that may pass."""
    return Refused(
        Refusal(
            status=503,
            code="ServerError",
            sub_code="ResourceError",
            message=f"The request can't be answered now. Try again in {retry_after} seconds.",
            more_details=details,
            headers={"Retry-After": str(retry_after)},
        )
    )


def quota_used_up(retry_after: int) -> Refused:
    """403: the key's queries of this month are used up; the next month starts in `retry_after` seconds."""
    return Refused(
        Refusal(
            status=403,
            code="RateLimitExceeded",
            message="Out of call volume quota.",
            more_details=f"Quota will be replenished in {retry_after / 86400:.2f} days.",
            headers={"Retry-After": str(retry_after)},
        )
    )


def unexpected_error() -> Refused:
    """500: a bug in the service; its log line has the trace id of the response."""
    return Refused(
        Refusal(status=500, code="ServerError", sub_code="UnexpectedError", message="Unexpected server error.")
    )
