"""A service on a real loopback socket, over an engine whose findings are written down or over the real one."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from anyio.from_thread import start_blocking_portal
from PIL import Image, ImageDraw

from pipeline.service.engine.engine import open_engine
from pipeline.service.findings import (
    BadPicture,
    Caption,
    CatalogueConfig,
    Crop,
    Engine,
    Findings,
    Item,
    Match,
    OfferGroup,
    Rating,
    TagGuess,
)
from pipeline.service.http.app import FAULTS, JOURNAL, AppConfig, build_app
from pipeline.service.http.journal import Seen


def make_item(number: int, **facts: Any) -> Item:
    """Make a priced row with a picture; `facts` replace its fields."""
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
        rating=Rating(value=4.5, count=12),
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
    """Make findings in which the first two items show the same picture, and the others look alike."""
    same = tuple(Match(item=item, score=0.99) for item in items[:2])
    alike = tuple(Match(item=item, score=0.9) for item in items[2:])
    return Findings(
        width=300,
        height=200,
        format="png",
        sha256="ab" * 32,
        accent_color="1E40AF",
        dominant_colors=(("1E40AF", 0.6), ("FFFFFF", 0.3)),
        same=same,
        alike=alike,
        products=tuple(match for match in alike if match.item.price is not None),
        offers=(OfferGroup(currency="EUR", low_price=10.0, items=tuple(items[:2])),),
        tags=(TagGuess(name="mug", confidence=0.8, box=(0.1, 0.2, 0.9, 0.8), supporters=4),),
        best_query="Blue mug 0",
        caption=Caption(text="A mug for tea and coffee", source_url="https://shop.example/mugs/0/"),
        suggestions=("mug", "blue"),
        token=None,
        unavailable=(("entities", "no knowledge base"), ("related_searches", "none kept"), ("text", "not read")),
    )


@dataclass
class PaperEngine:
    """An engine that says the same of every picture, and keeps what it was asked."""

    rows: list[Item] = field(default_factory=lambda: [make_item(n) for n in range(60)])
    asked: list[tuple[Crop | None, str | None]] = field(default_factory=list)
    before: Callable[[], None] = lambda: None
    count: int = 60
    skipped: int = 0
    version: str = "paper"
    files: dict[str, Path] = field(default_factory=dict)
    plain: bool = False

    def look(self, picture: bytes, *, crop: Crop | None = None, site: str | None = None) -> Findings:
        """Say the findings of anything Pillow can open."""
        self.before()
        try:
            Image.open(io.BytesIO(picture)).load()
        except OSError as exc:
            raise BadPicture("unknown-format", "no picture") from exc
        return self._say(crop, site)

    def look_up(self, token: str, *, crop: Crop | None = None, site: str | None = None) -> Findings | None:
        """Say the findings of a token that one of the rows has."""
        known = any(row.token == token for row in self.rows)
        return replace(self._say(crop, site), token=token) if known else None

    def items(self, numbers: Sequence[int] | None = None) -> Iterator[Item]:
        """Yield the rows."""
        return iter(self.rows if numbers is None else [self.rows[number] for number in numbers])

    def find_url(self, url: str) -> Item | None:
        """Find a row by its content URL."""
        return next((row for row in self.rows if row.content_url == url), None)

    def picture(self, token: str) -> Path | None:
        """Return the file that a test put there."""
        return self.files.get(token)

    def _say(self, crop: Crop | None, site: str | None) -> Findings:
        self.asked.append((crop, site))
        found = make_findings(self.rows)
        if self.plain:
            return replace(
                found, same=(), alike=(), products=(), offers=(), tags=(), best_query=None, caption=None, suggestions=()
            )
        return replace(found, alike=tuple(m for m in found.alike if site is None or m.item.site == site))


@dataclass(frozen=True)
class Reply:
    """One HTTP answer; header names in lower case."""

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
    """A running service, asked from outside over its socket."""

    port: int
    app: web.Application

    @property
    def url(self) -> str:
        """Return the base URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def seen(self) -> list[Seen]:
        """Return what has arrived so far."""
        return list(self.app[JOURNAL].seen)

    def fail(self, *faults: dict[str, object]) -> None:
        """Write the script of faults."""
        self.app[FAULTS].replace(json.dumps(faults).encode())

    def send(self, method: str, target: str, body: bytes = b"", **headers: str) -> Reply:
        """Send a request; `_` in a header's name stands for `-`."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.send_exactly(method, target, body, names)

    def send_exactly(self, method: str, target: str, body: bytes, headers: dict[str, str]) -> Reply:
        """Send a request on a new connection."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, target, body or None, headers)
            answer: HTTPResponse = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(status=answer.status, headers=found, body=answer.read())
        finally:
            connection.close()

    def ask(self, knowledge: object = None, picture: bytes | None = None, query: str = "", **headers: str) -> Reply:
        """Send a Visual Search request in the plainest form."""
        body = form(knowledge, picture)
        target = f"/v7.0/images/visualsearch{query}"
        return self.send("POST", target, body, Content_Type="multipart/form-data; boundary=frontier", **headers)


def form(knowledge: object = None, picture: bytes | None = None) -> bytes:
    """Write a form by hand, with the boundary `frontier`."""
    parts = []
    if knowledge is not None:
        text = knowledge if isinstance(knowledge, str) else json.dumps(knowledge)
        parts.append(b'Content-Disposition: form-data; name="knowledgeRequest"\r\n\r\n' + text.encode())
    if picture is not None:
        head = b'Content-Disposition: form-data; name="image"; filename="image"\r\nContent-Type: image/png\r\n\r\n'
        parts.append(head + picture)
    return b"".join(b"--frontier\r\n" + part + b"\r\n" for part in parts) + b"--frontier--\r\n"


@asynccontextmanager
async def _running(engine: Engine, config: AppConfig) -> AsyncIterator[Served]:
    app = build_app(engine, config)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1, max_line_size=65536)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield Served(port=runner.addresses[0][1], app=app)
    finally:
        await runner.cleanup()


@contextmanager
def serving(engine: Engine, config: AppConfig) -> Iterator[Served]:
    """Run a service in a thread of its own for as long as the block lasts."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(_running(engine, config)) as served:
        yield served


@pytest.fixture
def picture() -> bytes:
    """Return a small PNG."""
    return draw_mug((30, 64, 175))


@pytest.fixture
def engine() -> PaperEngine:
    """Return an engine with literal findings."""
    return PaperEngine()


@pytest.fixture
def start() -> Iterator[Callable[..., Served]]:
    """Return a function that starts a service over an engine; all are stopped at the end."""
    with ExitStack() as stack:

        def begin(engine: Engine, **settings: Any) -> Served:
            return stack.enter_context(serving(engine, AppConfig(**{"faults": True, **settings})))

        yield begin


@pytest.fixture
def served(engine: PaperEngine, start: Callable[..., Served]) -> Served:
    """Return a running service over the literal engine."""
    return start(engine, base_url="http://127.0.0.1:9")


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


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a small catalogue with pictures; return its CSV."""
    folder = tmp_path_factory.mktemp("catalogue")
    colors = {"blue": (30, 64, 175), "red": (185, 28, 28), "green": (21, 128, 61), "black": (20, 20, 20)}
    with (folder / "catalogue.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "image", "title", "page_url", "price", "currency", "seller", "tags", "category"])
        for shape in ("rectangle", "ellipse"):
            for name, color in colors.items():
                file_name = f"{shape}-{name}.png"
                (folder / file_name).write_bytes(draw_mug(color, shape=shape))
                page = f"https://www.shop.example/{shape}/{name}"
                writer.writerow(
                    [f"{shape}-{name}", file_name, f"{name} {shape} mug", page, "9.5", "EUR", "Shop", "mug", "Kitchen"]
                )
    return folder / "catalogue.csv"


@pytest.fixture(scope="session")
def real_engine(catalogue: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Return the real engine over the small catalogue."""
    return open_engine(CatalogueConfig(path=catalogue), tmp_path_factory.mktemp("index"))


@pytest.fixture
def item_of() -> Callable[..., Item]:
    """Return the function that makes a row of the catalogue."""
    return make_item


@pytest.fixture
def findings_of() -> Callable[[Sequence[Item]], Findings]:
    """Return the function that makes findings from rows."""
    return make_findings


@pytest.fixture
def write_form() -> Callable[..., bytes]:
    """Return the function that writes a form by hand."""
    return form


@pytest.fixture
def paint() -> Callable[..., bytes]:
    """Return the function that draws a product picture."""
    return draw_mug
