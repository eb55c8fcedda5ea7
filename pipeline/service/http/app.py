"""The service's HTTP application: the endpoints of the v7 protocol under both prefixes, /healthz, the page at /."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from pipeline.service import refusals
from pipeline.service.access.callers import only_to_own_names
from pipeline.service.access.limits import Allowance, ApiKey, Doorman, Workload
from pipeline.service.access.quota import QuotaBook
from pipeline.service.findings import Engine
from pipeline.service.http.current import Current
from pipeline.service.http.endpoints import Endpoints
from pipeline.service.http.envelope import Envelope, json_response, refuse, speak_of_errors, write_access_log
from pipeline.service.http.explorer import explorer
from pipeline.service.http.faults import FaultScript
from pipeline.service.http.journal import Journal
from pipeline.service.http.lookup import Lookup
from pipeline.service.http.objects import Links
from pipeline.service.search.query_log import QueryLog
from pipeline.service.text.reader import Reader
from pipeline.service.text.store import TextStore

PREFIXES = ("/v7.0", "/bing/v7.0")
SEEN_KEPT = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AppConfig:
    """How the service behaves; without `keys` everyone may ask, within `allowance`.

    `workers` pictures are looked at at once (0: one per core); two hold each other up by the GIL, 45 answers/s where
    one gives 49, without text on two cores. `most_in_work` requests may be in work or waiting before the service says
    429. `quota_book` keeps what has been used of monthly quotas, `query_log` the searches, `texts` what was read in
    pictures, if `text` is to be read at all; they live in memory where they are None. `https_only` refuses what
    reached a proxy in front as plain HTTP. `faults` allows tests to ask for faults, and to read what arrived.
    """

    keys: tuple[ApiKey, ...] = ()
    allowance: Allowance = field(default_factory=Allowance)
    workers: int = 1
    most_in_work: int = 256
    base_url: str | None = None
    journal: Path | None = None
    query_log: Path | None = None
    quota_book: Path | None = None
    text: bool = False
    texts: Path | None = None
    https_only: bool = False
    faults: bool = False


JOURNAL = web.AppKey("journal", Journal)
QUERIES = web.AppKey("queries", QueryLog)
QUOTAS = web.AppKey("quotas", QuotaBook)
FAULTS = web.AppKey("faults", FaultScript)
CURRENT = web.AppKey("current", Current)
READER = web.AppKey("reader", Reader)
WORKLOAD = web.AppKey("workload", Workload)


def build_app(engine: Engine, config: AppConfig) -> web.Application:
    """Return the application; `app[JOURNAL].seen` holds what arrived when faults are allowed.

    `app[CURRENT].use` gives it another engine while it answers.
    """
    guard = [] if config.keys else [only_to_own_names(config.base_url)]
    app = web.Application(middlewares=[write_access_log, speak_of_errors, *guard], client_max_size=0)
    app[JOURNAL] = Journal(config.journal, keep=SEEN_KEPT if config.faults else 0)
    app[QUERIES] = QueryLog(config.query_log)
    app[QUOTAS] = QuotaBook(config.quota_book)
    app[FAULTS] = FaultScript()
    app[WORKLOAD] = Workload(config.most_in_work)
    app.cleanup_ctx.append(_keep_open)
    lookup = Lookup(engine, config.workers or os.cpu_count() or 1, _add_reader(app, config))
    app[CURRENT] = Current(lookup, app[QUERIES], Links(base=config.base_url))
    _add_endpoints(app, _envelope(app, config))
    _add_plain(app)
    app.router.add_get("/", explorer(keyed=bool(config.keys)))
    if config.faults:
        _add_controls(app)
    return app


def _envelope(app: web.Application, config: AppConfig) -> Envelope:
    return Envelope(
        doorman=Doorman(config.keys, config.allowance, app[QUOTAS], clock=time.monotonic),
        workload=app[WORKLOAD],
        journal=app[JOURNAL],
        faults=app[FAULTS] if config.faults else None,
        https_only=config.https_only,
    )


def _add_endpoints(app: web.Application, envelope: Envelope) -> None:
    table = (
        ("POST", "visualsearch", Endpoints.visual_search),
        ("GET", "details", Endpoints.details),
        ("POST", "details", Endpoints.details),
        ("GET", "search", Endpoints.search),
        ("GET", "trending", Endpoints.trending),
    )
    for prefix in PREFIXES:
        for slash in ("", "/"):
            for method, name, endpoint in table:
                app.router.add_route(
                    method, f"{prefix}/images/{name}{slash}", envelope.wrap(app[CURRENT].ask(endpoint))
                )


def _add_plain(app: web.Application) -> None:
    """Add what needs no key: the health check, and thumbnails, whose URLs nobody can guess without the picture."""

    async def health(request: web.Request) -> web.Response:
        engine = app[CURRENT].engine
        return json_response({"status": "ok", "pictures": engine.count, "version": engine.version})

    async def thumbnail(request: web.Request) -> web.Response:
        body = await app[CURRENT].endpoints.thumbnail(request.match_info["token"])
        if body is None:
            return refuse(refusals.not_found(request.path).refusal)
        return web.Response(body=body, content_type="image/jpeg", headers={"Cache-Control": "max-age=86400"})

    app.router.add_get("/healthz", health)
    app.router.add_get("/thumbnails/{token}", thumbnail)


def _add_controls(app: web.Application) -> None:
    """Let tests write the script of faults and read what arrived."""

    async def script(request: web.Request) -> web.Response:
        app[FAULTS].replace(await request.content.read())
        return json_response({"coming": app[FAULTS].coming})

    async def seen(request: web.Request) -> web.Response:
        return json_response(list(app[JOURNAL].seen))

    app.router.add_post("/_faults", script)
    app.router.add_get("/_seen", seen)


def _add_reader(app: web.Application, config: AppConfig) -> Reader | None:
    if not config.text:
        return None
    app[READER] = Reader(TextStore(config.texts))
    return app[READER]


async def _keep_open(app: web.Application) -> AsyncIterator[None]:
    reading = app[READER].open() if READER in app else nullcontext()
    with app[JOURNAL], closing(app[QUERIES]), closing(app[QUOTAS]):
        async with reading:
            yield
