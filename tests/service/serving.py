"""A service on a real loopback socket, over an engine with fixed findings or over the real one."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

from aiohttp import web
from anyio.from_thread import start_blocking_portal
from PIL import Image, ImageDraw

from pipeline.service.engine.pictures import decode, read_header
from pipeline.service.engine.thumbnails import make_thumbnail
from pipeline.service.findings import (
    BadPicture,
    Crop,
    Duplicate,
    Engine,
    Findings,
    InferredTag,
    Item,
    ItemRating,
    Match,
    OfferGroup,
    SourcedCaption,
)
from pipeline.service.http.app import FAULTS, JOURNAL, REQUESTS, AppConfig, build_app
from pipeline.service.http.journal import JournalEntry
from pipeline.service.http.listening import listening
from tests.waiting import HANG_SECONDS


def make_item(number: int, **facts: Any) -> Item:
    """Return a row with a picture and a price; `facts` replace its fields."""
    item = Item(
        number=number,
        id=f"sku-{number}",
        image=f"mug{number}.png",
        title=f"Blue mug {number}",
        description="A mug for tea and coffee",
        page_url=f"https://shop.example/mugs/{number}/",
        content_url=f"https://img.shop.example/{number}.jpg",
        site="shop.example",
        seller="Shop",
        seller_image_url="https://shop.example/logo.png",
        price=10.0 + number,
        currency="EUR",
        availability="InStock",
        rating=ItemRating(value=4.5, count=12),
        updated="2026-11-01",
        tags=("mug", "blue"),
        category="Kitchen",
        published=f"2026-10-{1 + number % 28:02d}T12:00:00",
        width=300 + number,
        height=200,
        bytes=1000 + number,
        format="jpeg",
        accent_color="1E40AF",
        dominant_colors=(("1E40AF", 0.6), ("FFFFFF", 0.3)),
        sha256=f"{number:064x}",
        token=f"own_{number:040x}",
    )
    return replace(item, **facts)


def make_findings(items: Sequence[Item]) -> Findings:
    """Return findings in which the first two items show the same picture, and the others are similar."""
    same = tuple(Match(item=item, score=0.99) for item in items[:2])
    similar = tuple(Match(item=item, score=0.9) for item in items[2:])
    return Findings(
        width=300,
        height=200,
        format="png",
        sha256="ab" * 32,
        accent_color="1E40AF",
        dominant_colors=(("1E40AF", 0.6), ("FFFFFF", 0.3)),
        same=same,
        similar=similar,
        products=tuple(match for match in similar if match.item.price is not None),
        duplicates=tuple(Duplicate(item=item, kind="same", score=0.99) for item in items[:2]),
        offers=(OfferGroup(currency="EUR", low_price=10.0, items=tuple(items[:2])),),
        tags=(InferredTag(name="mug", confidence=0.8, box=(0.1, 0.2, 0.9, 0.8), supporters=4),),
        best_query="Blue mug 0",
        caption=SourcedCaption(text="A mug for tea and coffee", source_url="https://shop.example/mugs/0/"),
        suggestions=("mug", "blue"),
        token=None,
        unavailable=(("entities", "no knowledge base"), ("related_searches", "none kept"), ("text", "not read")),
    )


@dataclass
class FixedEngine:
    """An engine with the same findings for every picture, which records the crop and site of each request.

    `before` is called before each inspection; with `plain`, nothing matches the picture.
    """

    rows: list[Item] = field(default_factory=lambda: [make_item(n) for n in range(60)])
    requests: list[tuple[Crop | None, str | None]] = field(default_factory=list)
    before: Callable[[], None] = lambda: None
    count: int = 60
    skipped: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    version: str = "fixed"
    files: dict[str, Path] = field(default_factory=dict)
    plain: bool = False

    def inspect(
        self, picture: bytes, *, crop: Crop | None = None, site: str | None = None, max_side_px: int | None = None
    ) -> Findings:
        """Return the findings for anything that can be opened, with its own size and format."""
        self.before()
        opened = decode(read_header(picture, max_side_px))
        findings = self._findings(crop, site)
        return replace(findings, width=opened.width, height=opened.height, format=opened.format)

    def inspect_token(self, token: str, *, crop: Crop | None = None, site: str | None = None) -> Findings | None:
        """Return the findings for a token that one of the rows has."""
        exists = any(row.token == token for row in self.rows)
        return replace(self._findings(crop, site), token=token) if exists else None

    def items(self, numbers: Sequence[int] | None = None) -> Iterator[Item]:
        """Yield the rows."""
        return iter(self.rows if numbers is None else [self.rows[number] for number in numbers])

    def same_rows(self, items: Sequence[Item]) -> list[tuple[Item, ...]]:
        """Return the rows with the same content."""
        return [tuple(row for row in self.rows if row.sha256 == item.sha256) for item in items]

    def find_by_url(self, url: str) -> Item | None:
        """Find a row by its content URL."""
        return next((row for row in self.rows if row.content_url == url), None)

    def read_picture(self, token: str) -> bytes:
        """Return the bytes of the file that a test has set."""
        if token not in self.files:
            raise BadPicture("damaged", "no picture has this token")
        return self.files[token].read_bytes()

    def thumbnail(self, picture: bytes, width: int, height: int, *, fills: bool = False) -> bytes:
        """Return a small copy of a picture."""
        return make_thumbnail(read_header(picture), width, height, fills=fills)

    def _findings(self, crop: Crop | None, site: str | None) -> Findings:
        self.requests.append((crop, site))
        findings = make_findings(self.rows)
        if self.plain:
            nothing: dict[str, Any] = dict.fromkeys(
                ("same", "similar", "products", "offers", "tags", "suggestions"), ()
            )
            return replace(findings, **nothing, best_query=None, caption=None)
        return replace(findings, similar=tuple(m for m in findings.similar if site is None or m.item.site == site))


@dataclass(frozen=True)
class Reply:
    """One HTTP response; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, str]:
        """Return the first error of an ErrorResponse."""
        assert self.json["_type"] == "ErrorResponse"
        first: dict[str, str] = self.json["errors"][0]
        return first


@dataclass
class Served:
    """A running service, which gets its requests over a socket."""

    port: int
    app: web.Application

    @property
    def url(self) -> str:
        """Return the base URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def journal(self) -> list[JournalEntry]:
        """Return the journal of the requests so far."""
        return list(self.app[JOURNAL].entries)

    def fail(self, *faults: dict[str, object]) -> None:
        """Set the script of faults."""
        self.app[FAULTS].replace(json.dumps(faults).encode())

    def send(self, method: str, target: str, body: bytes = b"", **headers: str) -> Reply:
        """Send a request; `_` in the name of a header becomes `-`."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.send_exactly(method, target, body, names)

    def send_exactly(self, method: str, target: str, body: bytes, headers: dict[str, str]) -> Reply:
        """Send a request on a new connection."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=HANG_SECONDS)
        try:
            connection.request(method, target, body or None, headers)
            response: HTTPResponse = connection.getresponse()
            received = {name.lower(): value for name, value in response.getheaders()}
            return Reply(status=response.status, headers=received, body=response.read())
        finally:
            connection.close()

    def send_bytes(self, request: bytes) -> tuple[int, bytes]:
        """Send the bytes of a request that says "Connection: close"; return status and body of the response."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=HANG_SECONDS) as connection:
            connection.sendall(request)
            response = b"".join(iter(lambda: connection.recv(65536), b""))
        head, _, body = response.partition(b"\r\n\r\n")
        return int(head.split()[1]), body

    def visual_search(
        self, knowledge: object = None, picture: bytes | None = None, query: str = "", **headers: str
    ) -> Reply:
        """Send a Visual Search request in its simplest form."""
        body = form(knowledge, picture)
        target = f"/v7.0/images/visualsearch{query}"
        return self.send("POST", target, body, Content_Type="multipart/form-data; boundary=frontier", **headers)


def form(knowledge: object = None, picture: bytes | None = None) -> bytes:
    """Return a form with the boundary `frontier`."""
    parts = []
    if knowledge is not None:
        text = knowledge if isinstance(knowledge, str) else json.dumps(knowledge)
        parts.append(b'Content-Disposition: form-data; name="knowledgeRequest"\r\n\r\n' + text.encode())
    if picture is not None:
        head = b'Content-Disposition: form-data; name="image"; filename="image"\r\nContent-Type: image/png\r\n\r\n'
        parts.append(head + picture)
    return b"".join(b"--frontier\r\n" + part + b"\r\n" for part in parts) + b"--frontier--\r\n"


@asynccontextmanager
async def _running(engine: Engine, config: AppConfig, connections: int) -> AsyncIterator[Served]:
    app = build_app(engine, config)
    async with listening(app, app[REQUESTS], "127.0.0.1", 0, connections) as port:
        yield Served(port=port, app=app)


@contextmanager
def serving(engine: Engine, config: AppConfig, connections: int = 512) -> Iterator[Served]:
    """Run a service in a thread of its own for as long as the block lasts."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(_running(engine, config, connections)) as served,
    ):
        yield served


def draw_mug(color: tuple[int, int, int], side_px: int = 200, shape: str = "rectangle") -> bytes:
    """Draw a simple product picture as PNG."""
    image = Image.new("RGB", (side_px, side_px), "white")
    pencil = ImageDraw.Draw(image)
    box = (side_px * 0.2, side_px * 0.25, side_px * 0.7, side_px * 0.85)
    getattr(pencil, shape)(box, fill=color, outline="black", width=3)
    pencil.ellipse((side_px * 0.62, side_px * 0.4, side_px * 0.9, side_px * 0.7), outline=color, width=8)
    target = io.BytesIO()
    image.save(target, "PNG")
    return target.getvalue()
