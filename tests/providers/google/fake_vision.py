"""A fake of Google Cloud Vision over real sockets: REST v1 as the discovery document has it, strict, with faults.

Beside tests, it lets you try the provider without a key of Google's (docs/providers.md):
    python -m tests.providers.google.fake_vision --port 8088
"""

from __future__ import annotations

import argparse
import asyncio
import binascii
import json
import time
from base64 import b64decode
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

from aiohttp import web

from tests.providers.fakes import serving
from tests.providers.google.vision_answers import annotate
from tests.providers.google.vision_contract import (
    MOST_BODY_BYTES,
    MOST_IMAGES,
    problem_of,
    type_name,
    with_numbers,
)

KEY: Final = "fake-google-key-0123456789"
Json = dict[str, Any]
_PARAMETERS: Final = {"key", "alt", "$alt", "prettyPrint", "fields", "access_token", "oauth_token", "quotaUser"}
_MINUTE: Final = 60.0


@dataclass(slots=True)
class FakeVision:
    """The service: who may call, what goes wrong on demand, and what it saw.

    `keys` and `tokens` are accepted; without any of both, everyone is. `faults` are taken one a call: a dictionary
    with `status` (and `error`, `headers`) for a whole call, with `error` alone for its picture, with `drop` to close
    the connection without an answer, with `echo` to send the key back in the message. `per_minute` is the quota of each
    feature, in pictures. `unloadable` URLs are answered like those that the real service can't reach.
    """

    keys: set[str] = field(default_factory=lambda: {KEY})
    tokens: set[str] = field(default_factory=set)
    faults: deque[Json] = field(default_factory=deque)
    per_minute: int = 0
    latency: float = 0.0
    unloadable: set[str] = field(default_factory=set)
    journal: Path | None = None
    calls: list[Json] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    endpoint: str = ""
    minute: float = 0.0
    _used: Counter[str] = field(default_factory=Counter)

    def app(self) -> web.Application:
        """Return the application that serves it."""
        app = web.Application(client_max_size=2 * MOST_BODY_BYTES)
        app.router.add_post("/v1/images:annotate", self._annotate)
        app.router.add_post("/v1/projects/{project}/locations/{location}/images:annotate", self._annotate)
        app.router.add_route("*", "/{path:.*}", self._nowhere)
        return app

    async def _nowhere(self, request: web.Request) -> web.Response:
        return web.Response(status=404, text="<html>404. That is an error.</html>", content_type="text/html")

    async def _annotate(self, request: web.Request) -> web.StreamResponse:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        arrived = time.time()
        try:
            await asyncio.sleep(self.latency)
            return await self._respond(request, arrived)
        finally:
            self.in_flight -= 1

    async def _respond(self, request: web.Request, arrived: float) -> web.StreamResponse:
        body = await request.read()
        fault = self.faults.popleft() if self.faults else {}
        seen: Json = {
            "path": request.path,
            "query": dict(request.query),
            "headers": dict(request.headers),
            "body_sha256": sha256(body).hexdigest(),
            "at": arrived,
        }
        status, answer = (
            (fault["status"], fault.get("error")) if "status" in fault else self._judge(request, body, seen)
        )
        if status == 200:
            status, answer = await self._answer(request, fault, seen)
        self._note(seen | {"status": 0 if "drop" in fault else status})
        if "drop" in fault:
            assert request.transport is not None
            request.transport.abort()
        if type(answer) is dict and "error" in answer and "echo" in fault:
            answer["error"]["message"] += f" {self._key_of(request)}"
        text = answer if type(answer) is str else json.dumps(answer if answer is not None else {}, indent=2)
        kind = "text/html" if type(answer) is str else "application/json"
        return web.Response(status=status, text=text, content_type=kind, headers=fault.get("headers"))

    def _judge(self, request: web.Request, body: bytes, seen: Json) -> tuple[int, Any]:
        """Return 200 where a call may be answered, else the status and the error that the service would send."""
        if (denied := self._denied(request)) is not None:
            return denied
        if not set(request.query) <= _PARAMETERS:
            return error(400, "INVALID_ARGUMENT", f"Unknown query parameter: {sorted(request.query)}")
        if len(body) > MOST_BODY_BYTES:
            return error(400, "INVALID_ARGUMENT", f"Request payload size exceeds the limit: {MOST_BODY_BYTES} bytes.")
        try:
            seen["request"] = document = json.loads(body)
        except ValueError:
            return error(400, "INVALID_ARGUMENT", "Invalid JSON payload received. Unexpected token.")
        if said := problem_of(document):
            return error(400, "INVALID_ARGUMENT", said)
        requests = document.get("requests", [])
        if not 0 < len(requests) <= MOST_IMAGES:
            return error(400, "INVALID_ARGUMENT", "Too many images per request.")
        return self._charge(requests)

    def _denied(self, request: web.Request) -> tuple[int, Any] | None:
        if not self.keys and not self.tokens:
            return None
        given = self._key_of(request)
        if not given:
            said = "Method doesn't allow unregistered callers (callers without established identity)."
            return error(403, "PERMISSION_DENIED", said)
        if request.headers.get("Authorization"):
            if given in self.tokens:
                return None
            said = "Request had invalid authentication credentials. Expected OAuth 2 access token."
            return error(401, "UNAUTHENTICATED", said, reason="ACCESS_TOKEN_EXPIRED")
        if given in self.keys:
            return None
        said = "API key not valid. Please pass a valid API key."
        return error(400, "INVALID_ARGUMENT", said, reason="API_KEY_INVALID")

    def _key_of(self, request: web.Request) -> str:
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return bearer or request.headers.get("x-goog-api-key", "") or request.query.get("key", "")

    def _charge(self, requests: Sequence[Json]) -> tuple[int, Any]:
        """Count the pictures of each feature against the quota of this minute, as the service does."""
        if self.per_minute and time.time() >= self.minute + _MINUTE:
            self._used.clear()
            self.minute = time.time()
        wanted = Counter(
            name for one in requests for name in {type_name(feature["type"]) for feature in one.get("features", ())}
        )
        for name, pictures in wanted.items():
            if self.per_minute and self._used[name] + pictures > self.per_minute:
                wait = self.minute + _MINUTE - time.time()
                return quota_error(name, wait)
        self._used.update(wanted)
        return 200, None

    async def _answer(self, request: web.Request, fault: Json, seen: Json) -> tuple[int, Any]:
        """Answer each picture of a call, in its order."""
        responses = []
        for one in seen["request"]["requests"]:
            features = {
                type_name(feature["type"]): feature.get("maxResults", 0)
                for feature in one.get("features", ())
                if type_name(feature["type"]) != "TYPE_UNSPECIFIED"
            }
            if not features or "image" not in one:
                return error(400, "INVALID_ARGUMENT", "Request must specify image and features.")
            response = await self._annotate_one(one, features)
            response |= {"error": fault["error"]} if "error" in fault else {}
            responses.append({name: value for name, value in response.items() if name not in fault.get("without", ())})
        answer = {"responses": responses}
        encoding = request.query.get("$alt", request.query.get("alt", ""))
        return 200, with_numbers(answer) if "enum-encoding=int" in encoding else answer

    async def _annotate_one(self, one: Json, features: Mapping[str, int]) -> Json:
        if "DOCUMENT_TEXT_DETECTION" in features:
            features = {name: most for name, most in features.items() if name != "TEXT_DETECTION"}
        image = one["image"]
        try:
            content = b64decode(image["content"]) if image.get("content") else await self._load(image["source"])
        except binascii.Error:
            return {"error": {"code": 3, "message": "Bad image data."}}
        except (OSError, KeyError):
            said = "We can not access the URL currently. Please download the content and pass it in."
            return {"error": {"code": 14, "message": said}}
        return annotate(content, dict(features), one.get("imageContext", {}))

    async def _load(self, source: Json) -> bytes:
        url = source["imageUri"]
        if url in self.unloadable or not url.startswith("http://127.0.0.1"):
            raise OSError(url)
        return await asyncio.to_thread(_read, url)

    def _note(self, seen: Json) -> None:
        self.calls.append(seen)
        if self.journal is not None:
            with self.journal.open("a") as file:
                file.write(json.dumps({name: seen[name] for name in ("body_sha256", "status", "at")}) + "\n")


def _read(url: str) -> bytes:
    with urlopen(url, timeout=10) as answer:
        content: bytes = answer.read()
        return content


def error(status: int, name: str, message: str, *, reason: str = "", details: Sequence[Json] = ()) -> tuple[int, Json]:
    """Return a status with the body that Google's APIs send with it."""
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "googleapis.com",
        "metadata": {"service": "vision.googleapis.com"},
    }
    all_details = [*([info] if reason else []), *details]
    body = {"code": status, "message": message, "status": name}
    return status, {"error": {**body, "details": all_details} if all_details else body}


def quota_error(feature: str, wait: float, *, per: str = "Minute") -> tuple[int, Json]:
    """Return the answer to one picture too many."""
    metric = f"vision.googleapis.com/{feature.lower()}_requests"
    said = f"Quota exceeded for quota metric '{metric}' and limit 'per {per.lower()} per project'."
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "RATE_LIMIT_EXCEEDED",
        "domain": "googleapis.com",
        "metadata": {"quota_limit": f"Requests{feature.title()}Per{per}PerProject", "quota_metric": metric},
    }
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{wait:.3f}s"}
    return error(429, "RESOURCE_EXHAUSTED", said, details=[info, *([retry] if wait else [])])


async def _main() -> None:
    parser = argparse.ArgumentParser(description="A fake of Google Cloud Vision on loopback.")
    parser.add_argument("--port", type=int, default=8088)
    parser.add_argument("--key", default=KEY, help=f"the key that is accepted ({KEY})")
    parser.add_argument("--per-minute", type=int, default=1800, help="pictures of each feature a minute, 0 for any")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that each answer takes")
    parser.add_argument("--journal", type=Path, default=None, help="a file for what arrives, one JSON object a line")
    options = parser.parse_args()
    fake = FakeVision(
        keys={options.key}, per_minute=options.per_minute, latency=options.latency, journal=options.journal
    )
    async with serving(fake, options.port):
        print(json.dumps({"endpoint": fake.endpoint}), flush=True)  # noqa: T201 - who started it reads this
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
