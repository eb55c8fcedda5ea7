"""What an answer of a model means; never raises, whatever its status, headers and bytes are."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from pipeline.providers.json_body import parse_json
from pipeline.providers.openai.chat import MORE_TOKENS
from pipeline.providers.openai.error_bodies import ErrorBody, classify, error_of, trace_details
from pipeline.providers.openai.insights import NONE_OF_THE_KEYS, insights_of
from pipeline.providers.openai.leftovers import leftovers
from pipeline.providers.openai.question import ATTRIBUTES
from pipeline.records import Answer, Problem, ProblemKind, Reading

# Returns the attributes without what is unknown, or says in words why they are none.
CheckAttributes = Callable[[Any], "dict[str, Any] | str"]
_THOUGHTS: Final = re.compile(r"^\s*<think>.*?</think>", re.DOTALL)
_MAX_SAID_CHARS: Final = 2000


def read_answer(
    answer: Answer, features: frozenset[str], check: CheckAttributes | None, *, has_schema: bool
) -> Reading | Problem:
    """Return the insights of an answer as a Reading, or the Problem that it reports.

    `check` is for the answers to the user's own questions, None without any.
    """
    document = parse_json(answer.body)
    error = error_of(document)
    if error is not None or not 200 <= answer.status < 300:
        return classify(answer, error or ErrorBody(message=_plain_text(answer.body)), has_schema=has_schema)
    message, ending = _first_choice(document)
    if message is None:
        return _no_answer(answer, document)
    said = _content(message.get("content"))
    if refusal := message.get("refusal"):
        return _problem(answer, "row", "refused-content", "the model refuses to describe the picture", str(refusal))
    if ending == "content_filter":
        return _problem(answer, "row", "refused-content", "a filter of the service held the answer back", said)
    if ending == "length":
        reason = "the answer was cut off at its limit of tokens; raise provider.max_tokens"
        return _problem(answer, "row", "cut-off", reason, said, fallback=MORE_TOKENS)
    reading = _read_content(answer, said, features, check)
    if isinstance(reading, Reading):
        reading.insights["other"].extend(leftovers(document))
    return reading


def _read_content(
    answer: Answer, said: str, features: frozenset[str], check: CheckAttributes | None
) -> Reading | Problem:
    content = _object_in(said)
    if content is None:
        return _problem(answer, "row", "answer-not-json", "the model did not answer with a JSON object", said)
    attributes = check(content.get(ATTRIBUTES)) if check else None
    if isinstance(attributes, str):
        return _problem(answer, "row", "answer-invalid", f"the answer does not match the fields: {attributes}", said)
    if not attributes and not features & content.keys():
        return _problem(answer, "row", "answer-invalid", NONE_OF_THE_KEYS, said)
    return Reading(insights=insights_of(content, features, attributes))


def _first_choice(document: Any) -> tuple[dict[str, Any] | None, str]:
    """Return the message of the first choice, and why it ended; None where there is no such thing."""
    choices = document.get("choices") if type(document) is dict else None
    choice = choices[0] if type(choices) is list and choices else None
    message = choice.get("message") if type(choice) is dict else None
    if type(choice) is not dict or type(message) is not dict:
        return None, ""
    return message, str(choice.get("finish_reason") or "")


def _content(content: Any) -> str:
    """Return what a model said: text, or the texts of several parts."""
    if type(content) is list:
        parts = (part.get("text") for part in content if type(part) is dict)
        return "".join(part for part in parts if type(part) is str)
    return content if type(content) is str else ""


def _object_in(said: str) -> dict[str, Any] | None:
    """Return the JSON object in what a model said, perhaps among thoughts and in a fenced block."""
    text = _THOUGHTS.sub("", said)
    for candidate in (text, text[text.find("{") : text.rfind("}") + 1]):
        value = parse_json(candidate.encode("utf-8", "replace"))
        if type(value) is dict:
            return value
    return None


def _no_answer(answer: Answer, document: Any) -> Problem:
    """Classify a success that holds no choice: what stands between us and the service may have made it."""
    if not answer.body.strip():
        return _problem(answer, "transient", "empty-body", "the service sent an empty body")
    if document is None:
        return _problem(answer, "transient", "not-json", "the response is not JSON, or it is cut off")
    return _problem(answer, "transient", "unexpected-answer", "the response is JSON, but not an answer of a model")


def _problem(
    answer: Answer, kind: ProblemKind, code: str, message: str, said: str = "", *, fallback: str = ""
) -> Problem:
    details = {**({"said": said[:_MAX_SAID_CHARS]} if said else {}), **trace_details(answer)}
    return Problem(kind=kind, code=code, message=message, http_status=answer.status, details=details, fallback=fallback)


def _plain_text(body: bytes) -> str:
    """Return the text of a body that is a sentence; HTML would only fill the log."""
    text = " ".join(body[:500].decode(errors="replace").split())
    return "" if text[:1] in "<{[" else text
