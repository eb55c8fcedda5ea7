"""The service's HTTP application: the endpoints of the v7 protocol under both prefixes, /healthz, the explorer at /."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from pipeline.downloads.addresses import AddressRules
from pipeline.service import refusals
from pipeline.service.access.admission import AdmissionPool
from pipeline.service.access.authenticator import Allowance, ApiKey, Authenticator
from pipeline.service.access.callers import caller_at
from pipeline.service.access.fair_share import FairShare
from pipeline.service.access.monthly_quota import UsageStore
from pipeline.service.access.origin_check import refuse_foreign_hosts
from pipeline.service.findings import Engine
from pipeline.service.http.body import MEMORY_BYTES
from pipeline.service.http.connections import watch_connection
from pipeline.service.http.current_engine import CurrentEngine, EndpointMethod
from pipeline.service.http.dispatch import Dispatcher, admitted
from pipeline.service.http.endpoints import Endpoints
from pipeline.service.http.explorer import explorer_handler
from pipeline.service.http.faults import FaultScript
from pipeline.service.http.http_responses import error_response, json_response
from pipeline.service.http.journal import Journal
from pipeline.service.http.json_objects import ServiceLinks
from pipeline.service.http.lookup import MAX_PICTURE_BYTES, Lookup
from pipeline.service.http.middleware import (
    finish_threads,
    protect_from_pages,
    send_protocol_errors,
    write_access_log,
)
from pipeline.service.http.picture_downloads import PictureDownloads
from pipeline.service.http.redaction import Redactor
from pipeline.service.http.routes import EndpointRoutes
from pipeline.service.http.thumbnail_size import read_thumbnail_size
from pipeline.service.http.upload_store import UploadStore
from pipeline.service.search.query_log import QueryLog
from pipeline.service.text.reader import TextReader
from pipeline.service.text.store import TextStore

MAX_ENTRIES_KEPT = 100_000
# A body that has not arrived after so long may make room for another one of its caller.
MIN_BODY_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AppConfig:
    """How the service behaves; without `keys` everyone is admitted, within `allowance`.

    `workers` pictures are inspected at the same time (0: one per core). With more than `most_in_work` requests in
    progress or waiting, or half of that for one caller, the service sends 429. `quotas` is the file of the monthly
    usage, `query_log` that of the searches, `uploads` that of the uploaded pictures, `texts` that of the text that
    was read, if `text` is on; None keeps them in memory. Pictures behind URLs that the catalogue doesn't have are
    loaded from the addresses that `fetch_from` allows; None loads none. `https_only` refuses requests that reached a
    proxy in front of the service as plain HTTP. `faults` lets tests ask for faults and read the journal.
    """

    keys: tuple[ApiKey, ...] = ()
    allowance: Allowance = field(default_factory=Allowance)
    workers: int = 1
    most_in_work: int = 256
    base_url: str | None = None
    journal: Path | None = None
    query_log: Path | None = None
    quotas: Path | None = None
    uploads: Path | None = None
    text: bool = False
    texts: Path | None = None
    fetch_from: AddressRules | None = None
    https_only: bool = False
    faults: bool = False


JOURNAL = web.AppKey("journal", Journal)
QUERY_LOG = web.AppKey("query_log", QueryLog)
USAGE = web.AppKey("usage", UsageStore)
UPLOADS = web.AppKey("uploads", UploadStore)
FAULTS = web.AppKey("faults", FaultScript)
CURRENT = web.AppKey("current", CurrentEngine)
TEXT_READER = web.AppKey("text_reader", TextReader)
REQUESTS = web.AppKey("requests", AdmissionPool)


def build_app(engine: Engine, config: AppConfig) -> web.Application:
    """Return the application; `app[JOURNAL].entries` has the requests received, if faults are allowed.

    `app[CURRENT].replace_engine` replaces the engine while the application runs.
    """
    origin_check = [] if config.keys else [refuse_foreign_hosts(config.base_url)]
    always = (watch_connection, write_access_log, finish_threads, send_protocol_errors)
    app = web.Application(middlewares=[*always, *origin_check], client_max_size=0)
    app.on_response_prepare.append(protect_from_pages)
    app[JOURNAL] = Journal(config.journal, keep=MAX_ENTRIES_KEPT if config.faults else 0)
    app[QUERY_LOG] = QueryLog(config.query_log)
    app[USAGE] = UsageStore(config.quotas)
    app[UPLOADS] = UploadStore(config.uploads)
    app[FAULTS] = FaultScript()
    app[REQUESTS] = AdmissionPool(config.most_in_work, MIN_BODY_SECONDS)
    app.cleanup_ctx.append(_resources)
    downloads = PictureDownloads(config.fetch_from, MAX_PICTURE_BYTES) if config.fetch_from is not None else None
    workers = config.workers or os.cpu_count() or 1
    lookup = Lookup(engine, workers, app[UPLOADS], _add_text_reader(app, config), downloads)
    app[CURRENT] = CurrentEngine(lookup, app[QUERY_LOG], ServiceLinks(base=config.base_url))
    _add_open_routes(app, is_public=bool(config.keys))
    app.router.add_get("/", explorer_handler(needs_key=bool(config.keys)))
    if config.faults:
        _add_test_routes(app)
    app.router.add_route("*", "/{path:.*}", _endpoint_routes(app, _dispatcher(app, config)).handle)
    return app


def _dispatcher(app: web.Application, config: AppConfig) -> Dispatcher:
    return Dispatcher(
        authenticator=Authenticator(config.keys, config.allowance, app[USAGE], clock=time.monotonic),
        requests=app[REQUESTS],
        memory=FairShare(MEMORY_BYTES),
        journal=app[JOURNAL],
        redactor=Redactor(key.secret.get_secret_value() for key in config.keys),
        faults=app[FAULTS] if config.faults else None,
        https_only=config.https_only,
    )


def _endpoint_routes(app: web.Application, dispatcher: Dispatcher) -> EndpointRoutes:
    def handler(endpoint: EndpointMethod) -> Handler:
        return dispatcher.handler(app[CURRENT].endpoint(endpoint))

    details = handler(Endpoints.details)
    return EndpointRoutes(
        {
            "visualsearch": {"POST": handler(Endpoints.visual_search)},
            "details": {"GET": details, "POST": details},
            "search": {"GET": handler(Endpoints.search)},
            "trending": {"GET": handler(Endpoints.trending)},
        }
    )


def _add_open_routes(app: web.Application, *, is_public: bool) -> None:
    """Add what needs no key: the health check, and thumbnails, whose URLs can't be guessed without the picture."""

    async def health(request: web.Request) -> web.Response:
        engine = app[CURRENT].engine
        return json_response({"status": "ok", "pictures": engine.count, "version": engine.version})

    # With keys, the callers' own pages may show thumbnails; without them, the service is for this machine only.
    policy = "cross-origin" if is_public else "same-origin"
    thumbnail_headers = {"Cache-Control": "max-age=86400", "Cross-Origin-Resource-Policy": policy}

    async def thumbnail(request: web.Request) -> web.Response:
        caller = caller_at(request.remote)
        with admitted(app[REQUESTS], caller) as admission:
            admission.is_waiting = False
            size = read_thumbnail_size(request.query)
            body = await app[CURRENT].endpoints.thumbnail(caller, request.match_info["token"], size)
        if body is None:
            return error_response(refusals.not_found(request.path).refusal)
        return web.Response(body=body, content_type="image/jpeg", headers=thumbnail_headers)

    app.router.add_get("/healthz", health)
    app.router.add_get("/thumbnails/{token}", thumbnail)


def _add_test_routes(app: web.Application) -> None:
    """Let tests set the script of faults and read the journal."""

    async def set_script(request: web.Request) -> web.Response:
        app[FAULTS].replace(await request.content.read())
        return json_response({"coming": app[FAULTS].remaining})

    async def read_journal(request: web.Request) -> web.Response:
        return json_response(list(app[JOURNAL].entries))

    app.router.add_post("/_faults", set_script)
    app.router.add_get("/_seen", read_journal)


def _add_text_reader(app: web.Application, config: AppConfig) -> TextReader | None:
    if not config.text:
        return None
    app[TEXT_READER] = TextReader(TextStore(config.texts))
    return app[TEXT_READER]


async def _resources(app: web.Application) -> AsyncIterator[None]:
    """Open and close what the application uses, with aiohttp's cleanup context."""
    text_reader = app[TEXT_READER].open() if TEXT_READER in app else nullcontext()
    with app[JOURNAL], closing(app[QUERY_LOG]), closing(app[USAGE]), closing(app[UPLOADS]):
        async with text_reader:
            yield
