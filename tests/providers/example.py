"""A whole provider: a key header of its own, a JSON body, tokens and money in the answer."""

from base64 import b64encode
from dataclasses import replace

import orjson
from pydantic import SecretStr

from pipeline.config import ProviderSettings
from pipeline.providers import ProviderKind
from pipeline.records import Advice, Answer, Limits, Outcome, Prepared, Problem, Reading, Request, Row, Usage
from pipeline.schema import no_insights


class ExampleSettings(ProviderSettings):
    keys_without_effect = ProviderSettings.keys_without_effect | {"price"}
    price: float = 0.001

    @property
    def has_prices(self) -> bool:
        return True


class Example:
    name = service_id = "example"
    client_state, kept_headers = None, ("x-request-id",)
    limits = Limits(max_bytes=500_000, max_side_px=800, forms=frozenset({"bytes"}), formats=frozenset({"JPEG"}))

    def __init__(self, settings: ExampleSettings, endpoint: str) -> None:
        self.endpoint, self.price = endpoint, settings.price

    def requests(self, row: Row, prepared: Prepared | None) -> list[Request]:
        body = {"ask": row.query or "what is it?", "image": b64encode(prepared.data if prepared else b"").decode()}
        return [Request(method="POST", target=f"/describe?line={row.line}", form="bytes", body=orjson.dumps(body))]

    def max_calls(self, row: Row) -> int:
        return 1

    def authorise(self, request: Request, key: SecretStr) -> Request:
        return replace(request, headers=(*request.headers, ("X-Example-Key", key.get_secret_value())))

    def secrets(self, key: SecretStr) -> tuple[str, ...]:
        return (key.get_secret_value(),)

    def read(self, request: Request, answer: Answer) -> Outcome:
        if answer.status != 200:
            return Problem(kind="transient", code="http", message="no description", http_status=answer.status)
        return Reading(insights={**no_insights(), "best_query": {"text": orjson.loads(answer.body)["text"]}})

    def advice(self, answer: Answer) -> Advice:
        return Advice()

    def estimate(self, request: Request) -> Usage:
        return Usage(tokens_out=10, cost=10 * self.price, currency="EUR")

    def usage(self, request: Request, answer: Answer) -> Usage:
        return Usage(tokens_out=(used := orjson.loads(answer.body)["tokens"]), cost=used * self.price, currency="EUR")

    def trace_id(self, answer: Answer) -> str | None:
        return answer.headers.get("x-request-id")


KIND = ProviderKind(settings=ExampleSettings, build=Example)
