"""The body of a call: Chat Completions, which every service of this kind has."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from typing import Any, Final

import orjson

from pipeline.errors import RequestError
from pipeline.providers.openai.question import Question
from pipeline.providers.openai.settings import OpenAISettings
from pipeline.records import InsightsToken, Prepared, Request, Row

PATH: Final = "/chat/completions"
# The fallbacks: other ways to send the same request.
PLAIN_JSON: Final = "plain-json"  # for a service that knows no schemas
OTHER_NAME: Final = "other-name"  # for one that knows the limit on tokens by its other name
MORE_TOKENS: Final = "more-tokens"  # for an answer that was cut off
_MORE: Final = 4
_NAMES: Final = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
_LAST_NUMBER: Final = re.compile(rb":(\d{1,9})\}$")  # the limit on tokens comes last in a body


def chat_request(row: Row, prepared: Prepared | None, settings: OpenAISettings, question: Question) -> Request:
    """Build the call for one row; raises RequestError where a model can't be asked for it."""
    if row.crop is not None:
        raise RequestError(
            "crop-not-possible", "a model looks at whole pictures; cut the region out, and give that file"
        )
    if prepared is None:
        token = isinstance(row.image, InsightsToken)
        reason = "an insights token means nothing to a model; give a file or a URL"
        raise RequestError("bad-token" if token else "not-prepared", reason if token else "the picture is not prepared")
    return Request(
        method="POST",
        target=PATH,
        form="bytes",
        headers=(("Content-Type", "application/json"),),
        body=orjson.dumps(_body(row, prepared, settings, question)),
        picture_size=(prepared.width, prepared.height),
    )


def _body(row: Row, prepared: Prepared, settings: OpenAISettings, question: Question) -> dict[str, Any]:
    image = {"url": f"data:{prepared.media_type};base64,{b64encode(prepared.data).decode()}"}
    if settings.detail != "auto":
        image["detail"] = settings.detail
    content = [{"type": "text", "text": _words(row)}, {"type": "image_url", "image_url": image}]
    schema = {"name": "insights", "strict": True, "schema": question.schema}
    return {
        "model": settings.model,
        "messages": [{"role": "system", "content": question.system}, {"role": "user", "content": content}],
        "response_format": {"type": "json_schema", "json_schema": schema},
        **settings.parameters,
        settings.max_tokens_name: settings.max_tokens,
    }


def _words(row: Row) -> str:
    """Return what is said beside the picture: what the row knows of it."""
    words = ["Describe this picture."]
    if row.query:
        words.append(f"Its owner says of it: {row.query}")
    if row.market:
        words.append(f"Write for readers of the market {row.market}, in their language.")
    return "\n".join(words)


def with_fallbacks(request: Request, names: Iterable[str], question: Question) -> bytes:
    """Return the body of a request as it is sent with these fallbacks."""
    names = set(names)
    body = orjson.loads(request.body)
    if PLAIN_JSON in names:
        body.pop("response_format", None)
        body["messages"][0]["content"] = question.plain_system
    name = next(name for name in reversed(body) if name in _NAMES)
    most = body.pop(name)
    name = _NAMES[name] if OTHER_NAME in names else name
    return orjson.dumps({**body, name: most * _MORE if MORE_TOKENS in names else most})


def most_tokens(body: bytes) -> int:
    """Return how many tokens an answer to this body may have, 0 where the body is not kept."""
    number = _LAST_NUMBER.search(body[-16:])
    return int(number[1]) if number else 0
