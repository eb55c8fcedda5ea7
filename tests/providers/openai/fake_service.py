"""A service like OpenAI's over real sockets: answers by the schema that it is sent, counts tokens, fails on demand.

Its answers are what the types of OpenAI's own client say (tests/providers/openai/test_clients.py drives it with that
client), its refusals what OpenAI's guides to errors, rate limits and structured outputs say. As a program of its own it
takes fields of Behaviour as JSON, prints its address, and ends when its stdin does. Beside tests, it lets you try the
provider without a key of OpenAI's (docs/providers.md):
    python -m tests.providers.openai.fake_service --port 8090
"""

from __future__ import annotations

import argparse
import base64
import io
import random
import subprocess
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import anyio
import orjson
from aiohttp import web
from PIL import Image

from tests.waiting import HANG_SECONDS

KEY = "sk-recognisable-0123456789abcdef"
KEY_ENV = "OPENAI_API_KEY"
MODEL = "gpt-4.1-mini"
_FORMATS = {"JPEG", "PNG", "WEBP", "GIF"}
_PARAMETERS = {
    "model", "messages", "response_format", "max_completion_tokens", "max_tokens", "temperature", "seed", "top_p", "n",
    "stream", "user", "reasoning_effort",
}  # fmt: skip
# What a strict schema may hold, as far as this service goes.
_KEYWORDS = {
    "type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "description", "$ref",
    "$defs", "definitions",
}  # fmt: skip


@dataclass(kw_only=True)
class Behaviour:
    """How the service behaves.

    `rpm` and `tpm` are its limits, 0 for none; `refill` is how fast a minute passes. `knows_schemas` and
    `known_limit` are what it can read. `rates` are the chances of faults, by their names in `faults`.
    """

    model: str = MODEL
    needs_key: bool = True
    rpm: float = 0
    tpm: float = 0
    refill: float = 1.0
    knows_schemas: bool = True
    known_limit: str = ""
    strict: bool = True
    latency: float = 0.0
    seed: int = 0
    journal: str = ""
    rates: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One request and what was answered."""

    picture: str
    status: int
    ending: str
    has_schema: bool
    max_tokens: int
    tokens: int
    tokens_out: int
    size: tuple[int, int]
    at: float


Fault = Mapping[str, Any]
FAULTS: Mapping[str, Fault] = {
    "503": {"status": 503, "error": {"message": "That model is overloaded.", "type": "server_error"}},
    "500": {"status": 500, "error": {"message": "The server had an error.", "type": "server_error"}},
    "429": {"status": 429, "error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"},
            "headers": {"retry-after-ms": "30"}},
    "200 with an error": {"status": 200, "error": {"message": "Upstream error", "code": 502}},
    "not JSON": {"status": 200, "text": "<html>Bad gateway</html>"},
    "dropped": {"drop": True},
    "cut": {"ending": "length"},
    "refusal": {"refusal": "I'm sorry, I can't help with that."},
    "filtered": {"ending": "content_filter", "content": ""},
    "prose": {"content": "It is a lovely picture of a mug."},
    "half": {"content": '{"caption": "A mug", "tags": ["mug"'},
    "invalid": {"attributes": {"unheard": "of"}},
    "blocked": {"status": 400, "error": {"message": "Your request was rejected by our safety system.",
                                         "type": "invalid_request_error", "code": "content_policy_violation"}},
}  # fmt: skip


class Refused(Exception):
    """An answer that is an error."""

    def __init__(
        self, status: int, message: str, *, code: str | None = None, param: str | None = None, kind: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers: dict[str, str] = {}
        self.error = {"message": message, "type": kind or "invalid_request_error", "param": param, "code": code}


@dataclass
class Bucket:
    """A limit that refills all the time."""

    limit: float
    refill: float
    level: float = 0.0
    at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.level = self.limit

    def take(self, amount: float) -> float:
        """Take an amount, or say in how many seconds it would be there."""
        now = time.monotonic()
        self.level = min(self.limit, self.level + (now - self.at) * self.per_second)
        self.at = now
        if amount > self.level:
            return (amount - self.level) / self.per_second
        self.level -= amount
        return 0.0

    @property
    def per_second(self) -> float:
        return self.limit / 60 * self.refill

    def headers(self, kind: str) -> dict[str, str]:
        reset = (self.limit - self.level) / self.per_second
        return {
            f"x-ratelimit-limit-{kind}": f"{self.limit:.0f}",
            f"x-ratelimit-remaining-{kind}": f"{self.level:.0f}",
            f"x-ratelimit-reset-{kind}": f"{reset:.3f}s" if reset >= 1 else f"{reset * 1000:.0f}ms",
        }


class OpenAIService:
    """The service: `faults` are what the next requests meet, one each; `seen` is what has arrived."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.faults: deque[Fault] = deque()
        self.seen: list[Seen] = []
        self.endpoint = ""
        self.headers: list[Mapping[str, str]] = []
        self.bodies: list[dict[str, Any]] = []
        self._chance = random.Random(behaviour.seed)
        self._calls = Bucket(behaviour.rpm, behaviour.refill) if behaviour.rpm else None
        self._tokens = Bucket(behaviour.tpm, behaviour.refill) if behaviour.tpm else None

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """Answer POST /v1/chat/completions."""
        body = orjson.loads(await request.read())
        self.headers.append(request.headers)
        self.bodies.append(body)
        fault = self._fault()
        if self.behaviour.latency:
            await anyio.sleep(self.behaviour.latency)
        seen = _Call(body)
        headers: dict[str, str] = {"x-request-id": f"req_{len(self.bodies)}"}
        try:
            self._check(request, seen)
            headers |= self._admit(seen)
            if fault.get("drop"):
                self._note(seen, 0, "dropped")
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            if "status" in fault:
                self._note(seen, fault["status"], "fault")
                return self._faulty(fault, headers)
            answer = self._answer(seen, fault)
        except Refused as refused:
            self._note(seen, refused.status, "refused")
            return web.json_response(
                {"error": refused.error}, status=refused.status, headers={**headers, **refused.headers}
            )
        self._note(seen, 200, answer["choices"][0]["finish_reason"], answer["usage"]["completion_tokens"])
        return web.json_response(answer, headers=headers)

    def _fault(self) -> Fault:
        if self.faults:
            return self.faults.popleft()
        dice = self._chance.random()
        for name, rate in self.behaviour.rates.items():
            if dice < rate:
                return FAULTS[name]
            dice -= rate
        return {}

    def _faulty(self, fault: Fault, headers: Mapping[str, str]) -> web.Response:
        headers = {**headers, **fault.get("headers", {})}
        if "text" in fault:
            return web.Response(text=fault["text"], status=fault["status"], headers=headers, content_type="text/html")
        return web.json_response({"error": fault["error"]}, status=fault["status"], headers=headers)

    def _check(self, request: web.Request, call: _Call) -> None:
        keys = {request.headers.get("Authorization"), request.headers.get("api-key")}
        if self.behaviour.needs_key and not keys & {f"Bearer {KEY}", KEY}:
            raise Refused(401, "Incorrect API key provided: sk-reco******cdef.", code="invalid_api_key")
        if call.body.get("model") != self.behaviour.model:
            raise Refused(404, f"The model `{call.body.get('model')}` does not exist", code="model_not_found")
        for name in call.body.keys() - _PARAMETERS:
            raise Refused(400, f"Unknown parameter: '{name}'.", code="unknown_parameter", param=name)
        if (known := self.behaviour.known_limit) and call.limit_name != known:
            said = (
                f"Unsupported parameter: '{call.limit_name}' is not supported with this model. Use '{known}' instead."
            )
            raise Refused(400, said, code="unsupported_parameter", param=call.limit_name)
        if call.has_schema and not self.behaviour.knows_schemas:
            raise Refused(400, "This response_format type is unavailable now")
        if call.has_schema and self.behaviour.strict:
            _check_strict(call.schema, "()")
        call.open_picture()

    def _admit(self, call: _Call) -> dict[str, str]:
        """Take a call and its tokens from the limits, or refuse with the time until they are there."""
        waits = {
            "requests": self._calls.take(1) if self._calls else 0.0,
            "tokens": self._tokens.take(call.tokens + call.max_tokens) if self._tokens else 0.0,
        }
        headers = self._calls.headers("requests") if self._calls else {}
        headers |= self._tokens.headers("tokens") if self._tokens else {}
        if wait := max(waits.values()):
            kind = max(waits, key=lambda name: waits[name])
            refused = Refused(429, f"Rate limit reached on {kind} per min.", code="rate_limit_exceeded", kind=kind)
            refused.headers = {**headers, "retry-after-ms": f"{wait * 1000 + 1:.0f}"}
            raise refused
        return headers

    def _answer(self, call: _Call, fault: Fault) -> dict[str, Any]:
        made = example(call.schema, call.schema, random.Random(call.picture))
        if "attributes" in fault and "attributes" in made:
            made["attributes"] = fault["attributes"]
        content = orjson.dumps(made).decode()
        content = fault.get("content", content if call.has_schema else f"Here it is:\n```json\n{content}\n```")
        tokens_out, ending = len(content) // 4, fault.get("ending", "stop")
        if tokens_out > call.max_tokens or ending == "length":
            tokens_out, ending = min(tokens_out, call.max_tokens), "length"
            content = content[: 4 * tokens_out - 8]
        refusal = fault.get("refusal")
        return {
            "id": f"chatcmpl-{call.picture[:24]}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": f"{MODEL}-2025-04-14",
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": None if refusal else content,
                        "refusal": refusal,
                        "annotations": [],
                    },
                    "logprobs": None,
                    "finish_reason": ending,
                }
            ],
            "usage": {
                "prompt_tokens": call.tokens,
                "completion_tokens": tokens_out,
                "total_tokens": call.tokens + tokens_out,
                "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0},
            },
            "service_tier": "default",
            "system_fingerprint": "fp_0123456789",
        }

    def _note(self, call: _Call, status: int, ending: str, tokens_out: int = 0) -> None:
        seen = Seen(
            picture=call.picture,
            status=status,
            ending=ending,
            has_schema=call.has_schema,
            max_tokens=call.max_tokens,
            tokens=call.tokens,
            tokens_out=tokens_out,
            size=call.size,
            at=time.monotonic(),
        )
        self.seen.append(seen)
        if self.behaviour.journal:
            with Path(self.behaviour.journal).open("ab") as file:
                file.write(orjson.dumps(asdict(seen), option=orjson.OPT_APPEND_NEWLINE))

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[OpenAIService]:
        """Listen on a loopback port."""
        app = web.Application(client_max_size=60_000_000)
        app.router.add_post("/v1/chat/completions", self.complete)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        self.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        try:
            yield self
        finally:
            await runner.cleanup()


class _Call:
    """A request, taken apart."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        system, user = body["messages"]
        texts = [part["text"] for part in user["content"] if part["type"] == "text"]
        self.url: str = next(part["image_url"]["url"] for part in user["content"] if part["type"] == "image_url")
        self.picture = sha256(self.url.encode()).hexdigest()
        self.limit_name = next(name for name in ("max_completion_tokens", "max_tokens") if name in body)
        self.max_tokens: int = body[self.limit_name]
        self.has_schema = "response_format" in body
        self.schema: dict[str, Any] = (
            body["response_format"]["json_schema"]["schema"]
            if self.has_schema
            else orjson.loads(system["content"].rpartition("JSON Schema:\n")[2])
        )
        self.size = (0, 0)
        self._words = len(system["content"]) + sum(map(len, texts)) + len(orjson.dumps(self.schema))

    def open_picture(self) -> None:
        """Look at the picture as the service does."""
        head, _, data = self.url.partition(";base64,")
        try:
            image = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
            image.load()
        except (OSError, ValueError):
            raise Refused(400, "You uploaded an unsupported image.", code="invalid_image_format") from None
        if image.format not in _FORMATS or head != f"data:image/{image.format.lower()}":
            raise Refused(400, "You uploaded an unsupported image.", code="invalid_image_format")
        self.size = image.size

    @property
    def tokens(self) -> int:
        width, height = self.size
        return self._words // 4 + int(-(-width // 32) * -(-height // 32) * 1.62)


def _check_strict(schema: Mapping[str, Any], context: str) -> None:
    """Refuse a schema as the guide to structured outputs says."""
    said = f"Invalid schema for response_format 'insights': In context={context}, "
    if strange := schema.keys() - _KEYWORDS:
        raise Refused(400, f"{said}'{min(strange)}' is not permitted.", param="response_format")
    if "object" in _types(schema):
        if schema.get("additionalProperties") is not False:
            raise Refused(400, f"{said}'additionalProperties' must be false.", param="response_format")
        if set(schema.get("required", ())) != set(schema.get("properties", {"": 0})):
            raise Refused(400, f"{said}'required' must name every property.", param="response_format")
    if "array" in _types(schema) and "items" not in schema:
        raise Refused(400, f"{said}array schema missing items.", param="response_format")
    inner = {**schema.get("properties", {}), **schema.get("$defs", {}), **schema.get("definitions", {})}
    for name, part in inner.items():
        _check_strict(part, f"{context}, {name}")
    for part in [*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else [])]:
        _check_strict(part, context)


def _types(schema: Mapping[str, Any]) -> list[str]:
    types = schema.get("type", [])
    return [types] if isinstance(types, str) else list(types)


def example(schema: Mapping[str, Any], root: Mapping[str, Any], chance: random.Random) -> Any:
    """Make up a value that fits a schema."""
    if "$ref" in schema:
        _, kind, name = schema["$ref"].split("/")
        return example(root[kind][name], root, chance)
    if "anyOf" in schema:
        return example(chance.choice(schema["anyOf"]), root, chance)
    if "enum" in schema:
        return chance.choice(schema["enum"])
    if "const" in schema:
        return schema["const"]
    kind = chance.choice(_types(schema))
    if kind == "object":
        return {name: example(part, root, chance) for name, part in schema["properties"].items()}
    if kind == "array":
        return [example(schema["items"], root, chance) for _ in range(chance.randint(0, 3))]
    return {
        "string": chance.choice(["a blue mug", "two red shoes", "oak", "\u00fcber\nall"]),
        "integer": chance.randint(0, 9),
        "number": chance.randint(0, 90) / 10,
        "boolean": chance.random() < 0.5,
        "null": None,
    }[kind]


@dataclass(frozen=True, kw_only=True)
class Running:
    """The service as a process of its own."""

    endpoint: str
    journal: Path

    def seen(self) -> list[dict[str, Any]]:
        """Return what has arrived, in the order it was answered."""
        return [orjson.loads(line) for line in self.journal.read_bytes().splitlines()]


@contextmanager
def running_process(journal: Path, **behaviour: Any) -> Iterator[Running]:
    """Start the service as a process, and end it afterwards."""
    journal.write_bytes(b"")
    settings = orjson.dumps({"journal": str(journal), **behaviour}).decode()
    command = [sys.executable, "-m", "tests.providers.openai.fake_service", "--port", "0", settings]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin
    assert process.stdout
    try:
        endpoint = process.stdout.readline().decode().strip()
        assert endpoint
        yield Running(endpoint=endpoint, journal=journal)
    finally:
        process.stdin.close()
        process.wait(timeout=HANG_SECONDS)
        process.stdout.close()


async def _main() -> None:
    parser = argparse.ArgumentParser(description="A fake of OpenAI's Chat Completions on loopback. Ctrl-D ends it.")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("behaviour", nargs="?", default="{}", help="how it behaves, as JSON")
    options = parser.parse_args()
    async with OpenAIService(Behaviour(**orjson.loads(options.behaviour))).running(options.port) as service:
        print(service.endpoint, flush=True)  # noqa: T201 - who started it reads this
        await anyio.to_thread.run_sync(sys.stdin.read)


if __name__ == "__main__":
    anyio.run(_main)
