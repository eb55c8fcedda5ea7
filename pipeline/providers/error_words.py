"""What the providers' readers of errors share: a code of ours for a name of theirs, and words where there are none."""

from __future__ import annotations

import re
from http import HTTPStatus


def kebab_case(name: str) -> str:
    """Write ParameterInvalidValue and model_not_found as parameter-invalid-value and model-not-found.

    Returns an empty string for what is no name.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z_]{1,60}", name):
        return ""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).replace("_", "-").lower()


def without_reason(status: int) -> str:
    """Return the message for an error that says nothing but its status."""
    phrase = next((known.phrase for known in HTTPStatus if known == status), "an unknown status")
    return f"the service answered {status} ({phrase}) and gave no reason"
