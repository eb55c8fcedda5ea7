"""The provider for models that speak OpenAI's Chat Completions protocol: one picture a call, answered by a schema."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import SecretStr

from pipeline.providers.json_body import parse_json
from pipeline.providers.openai import chat
from pipeline.providers.openai.attributes import AttributeChecker
from pipeline.providers.openai.question import Question, make_question
from pipeline.providers.openai.rate_limits import KEPT_HEADERS, advice_of
from pipeline.providers.openai.read import CheckAttributes, read_answer
from pipeline.providers.openai.settings import OpenAISettings
from pipeline.providers.openai.tokens import tokens_of_picture, tokens_of_text
from pipeline.records import Advice, Answer, Limits, Outcome, Prepared, Request, Row, Usage

MAX_BYTES: Final = 20_000_000  # OpenAI's guide to images
MAX_SIDE_PX: Final = 8192  # no service names one; none looks at more
USUAL_SIDE_PX: Final = 768  # enough for a caption, at a quarter of the tokens of 1,500 px
USUAL_BYTES: Final = 300_000  # at that size, nothing that a model could see is lost yet
TRACE_IDS: Final = ("x-request-id", "apim-request-id")
LIMITS: Final = Limits(
    max_bytes=MAX_BYTES,
    max_side_px=MAX_SIDE_PX,
    forms=frozenset({"bytes"}),
    formats=frozenset({"JPEG", "PNG"}),  # what every service of this kind reads
    usual_side_px=USUAL_SIDE_PX,
    usual_bytes=USUAL_BYTES,
    is_upright=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAI:
    """A model at one service (a Provider), which may be asked in other ways (a FallbackService)."""

    endpoint: str
    settings: OpenAISettings
    question: Question
    check: CheckAttributes | None

    name: str = "openai"
    limits: Limits = LIMITS
    kept_headers: Sequence[str] = (*KEPT_HEADERS, *TRACE_IDS, "content-type")
    client_state: str | None = None

    @property
    def service_id(self) -> str:
        """The service; the model, and all that it is asked, are in each request."""
        return self.endpoint

    def requests(self, row: Row, prepared: Prepared | None) -> Sequence[Request]:
        """Build the one call of a row; raises RequestError where a model can't be asked for it."""
        return (chat.chat_request(row, prepared, self.settings, self.question),)

    def max_calls(self, _row: Row) -> int:
        """Return the calls of one row."""
        return 1

    def with_fallbacks(self, request: Request, names: frozenset[str]) -> Request:
        """Return the request as it is sent with these fallbacks."""
        return replace(request, body=chat.with_fallbacks(request, names, self.question))

    def authorise(self, request: Request, key: SecretStr) -> Request:
        """Return the request with the key in its header."""
        name, value = self.settings.key_header, key.get_secret_value()
        value = f"Bearer {value}" if name.lower() == "authorization" else value
        return replace(request, headers=(*request.headers, (name, value)))

    def secrets(self, key: SecretStr) -> Sequence[str]:
        """Return the key, from which nothing else is derived."""
        return (key.get_secret_value(),)

    def read(self, request: Request, answer: Answer) -> Outcome:
        """Understand one answer; never raises, whatever the bytes are."""
        has_schema = b'"response_format":' in request.body
        return read_answer(answer, frozenset(self.settings.features), self.check, has_schema=has_schema)

    def advice(self, answer: Answer) -> Advice:
        """Return what the headers say: a wait, and what is left of the limits on calls and tokens."""
        return advice_of(answer)

    def estimate(self, request: Request) -> Usage:
        """Return the tokens of the words and the picture, and all that the answer may have."""
        width, height = request.picture_size or (USUAL_SIDE_PX, USUAL_SIDE_PX)
        settings = self.settings
        picture = settings.picture_tokens or tokens_of_picture(settings.model, width, height, settings.detail)
        words = tokens_of_text(len(self.question.plain_system))
        return self._usage(words + picture, chat.most_tokens(request.body) or settings.max_tokens)

    def usage(self, request: Request, answer: Answer) -> Usage:
        """Return what an answer says it used: nothing where it is an error, the estimate where it doesn't say it."""
        document = parse_json(answer.body)
        document = document if type(document) is dict else {}
        used = document.get("usage")
        model = document.get("model")
        model = model if type(model) is str else self.settings.model
        if type(used) is dict:
            usage = self._usage(_count(used, "prompt_tokens"), _count(used, "completion_tokens"), model)
            cost = used.get("cost")  # OpenRouter names it, in US dollars
            if usage.cost is None and isinstance(cost, (int, float)) and cost >= 0:
                usage = replace(usage, cost=float(cost), currency="USD")
            return usage
        if 200 <= answer.status < 300 and "choices" in document:
            return replace(self.estimate(request), model=model)
        return self._usage(0, 0)

    def trace_id(self, answer: Answer) -> str | None:
        """Return the id by which the service or its gateway knows the call."""
        return next((answer.headers[name] for name in TRACE_IDS if name in answer.headers), None)

    def _usage(self, tokens_in: int, tokens_out: int, model: str = "") -> Usage:
        prices = self.settings.token_prices
        return Usage(
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            cost=prices.cost(tokens_in, tokens_out) if prices else None,
            currency=prices.currency if prices else "",
            model=model or self.settings.model,
        )


def _count(used: dict[str, Any], name: str) -> int:
    value = used.get(name)
    return value if type(value) is int and 0 <= value < 10**12 else 0


def make_openai(settings: OpenAISettings, endpoint: str) -> OpenAI:
    """Return the provider for the service at `endpoint`."""
    schema = settings.attributes_schema
    return OpenAI(
        endpoint=endpoint,
        settings=settings,
        question=make_question(settings.features, schema, settings.instructions),
        check=AttributeChecker(schema) if schema else None,
    )
