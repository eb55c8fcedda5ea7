"""The service's HTTP application: the endpoints of the v7 protocol under both prefixes, and /healthz."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from pipeline.service.answers import Known, image_insights, image_knowledge, quality_hint
from pipeline.service.details import read_details
from pipeline.service.envelope import Call, Envelope, json_response, speak_of_errors
from pipeline.service.faults import FaultScript
from pipeline.service.findings import Engine
from pipeline.service.journal import Journal
from pipeline.service.limits import Allowance, ApiKey, Doorman, Workload
from pipeline.service.lookup import Found, Lookup
from pipeline.service.objects import Json, Links
from pipeline.service.rules import DETAILS_ONLY, SEARCH_ONLY, exclude
from pipeline.service.visualsearch import read_visual_search
from pipeline.service.wire import Upload

PREFIXES = ("/v7.0", "/bing/v7.0")
SEEN_KEPT = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AppConfig:
    """How the service behaves; without `keys` everyone may ask, within `allowance`.

    `workers` pictures are looked at at once (0: one per core); `most_in_work` requests may be in work or waiting
    before the service says 429. `faults` allows tests to ask for faults, and to read what arrived.
    """

    keys: tuple[ApiKey, ...] = ()
    allowance: Allowance = field(default_factory=Allowance)
    workers: int = 0
    most_in_work: int = 256
    base_url: str | None = None
    journal: Path | None = None
    https_only: bool = False
    faults: bool = False


JOURNAL = web.AppKey("journal", Journal)
FAULTS = web.AppKey("faults", FaultScript)


class Endpoints:
    """The protocol's endpoints over one engine."""

    def __init__(self, engine: Engine, config: AppConfig) -> None:
        self._lookup = Lookup(engine, config.workers or os.cpu_count() or 1)
        self._links = Links(base=config.base_url)

    async def visual_search(self, call: Call) -> Json:
        """POST /images/visualsearch."""
        exclude(call.request.query, (*SEARCH_ONLY, *DETAILS_ONLY), "/images/visualsearch")
        asked = read_visual_search(call.request.headers.get("Content-Type", ""), call.body)
        await self._measure(call, asked.source)
        found = await self._lookup.find(asked.source, asked.crop, asked.site)
        if not isinstance(found, Found):
            return quality_hint("ImageKnowledge", found)
        return image_knowledge(self._known(found), asked)

    async def details(self, call: Call) -> Json:
        """GET and POST /images/details."""
        content_type = call.request.headers.get("Content-Type", "")
        asked = read_details(call.request.query, content_type, call.body)
        await self._measure(call, asked.source)
        found = await self._lookup.find(asked.source, asked.crop, None)
        if not isinstance(found, Found):
            return quality_hint("ImageInsights", found)
        return image_insights(self._known(found), asked)

    async def _measure(self, call: Call, source: object) -> None:
        if isinstance(source, Upload):
            call.picture = await self._lookup.measure(source.data)

    def _known(self, found: Found) -> Known:
        return Known(findings=found.findings, token=found.token, bytes=found.bytes, links=self._links)


def build_app(engine: Engine, config: AppConfig) -> web.Application:
    """Return the application; `app[JOURNAL].seen` holds what arrived when faults are allowed."""
    app = web.Application(middlewares=[speak_of_errors], client_max_size=0)
    app[JOURNAL] = Journal(config.journal, keep=SEEN_KEPT if config.faults else 0)
    app[FAULTS] = FaultScript()
    app.cleanup_ctx.append(_keep_journal)
    envelope = Envelope(
        doorman=Doorman(config.keys, config.allowance, clock=time.monotonic),
        workload=Workload(config.most_in_work),
        journal=app[JOURNAL],
        faults=app[FAULTS] if config.faults else None,
        https_only=config.https_only,
    )
    _add_endpoints(app, Endpoints(engine, config), envelope)
    _add_health(app, engine)
    if config.faults:
        _add_controls(app)
    return app


def _add_endpoints(app: web.Application, endpoints: Endpoints, envelope: Envelope) -> None:
    table = (
        ("POST", "visualsearch", endpoints.visual_search),
        ("GET", "details", endpoints.details),
        ("POST", "details", endpoints.details),
    )
    for prefix in PREFIXES:
        for slash in ("", "/"):
            for method, name, endpoint in table:
                app.router.add_route(method, f"{prefix}/images/{name}{slash}", envelope.wrap(endpoint))


def _add_health(app: web.Application, engine: Engine) -> None:
    async def health(request: web.Request) -> web.Response:
        return json_response({"status": "ok", "pictures": engine.count, "version": engine.version})

    app.router.add_get("/healthz", health)


def _add_controls(app: web.Application) -> None:
    """Let tests write the script of faults and read what arrived."""

    async def script(request: web.Request) -> web.Response:
        app[FAULTS].replace(await request.content.read())
        return json_response({"coming": app[FAULTS].coming})

    async def seen(request: web.Request) -> web.Response:
        return json_response(app[JOURNAL].seen)

    app.router.add_post("/_faults", script)
    app.router.add_get("/_seen", seen)


async def _keep_journal(app: web.Application) -> AsyncIterator[None]:
    with app[JOURNAL]:
        yield
