"""What the tests of the service share: a running service, over a fixed engine or the real one, and its pictures."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pipeline.service.engine.decoders import Decoders
from pipeline.service.engine.engine import open_engine
from pipeline.service.findings import CatalogueConfig, Engine, Findings, Item
from pipeline.service.http.app import AppConfig
from tests.service.serving import FixedEngine, Served, draw_mug, form, make_findings, make_item, serving


@pytest.fixture
def picture() -> bytes:
    """Return a small PNG."""
    return draw_mug((30, 64, 175))


@pytest.fixture
def engine() -> FixedEngine:
    """Return an engine with fixed findings."""
    return FixedEngine()


@pytest.fixture
def start() -> Iterator[Callable[..., Served]]:
    """Return a function that starts a service over an engine; all are stopped at the end."""
    with ExitStack() as stack:

        def begin(engine: Engine, **settings: Any) -> Served:
            return stack.enter_context(serving(engine, AppConfig(**{"faults": True, **settings})))

        yield begin


@pytest.fixture
def served(engine: FixedEngine, start: Callable[..., Served]) -> Served:
    """Return a running service over the fixed engine."""
    return start(engine, base_url="http://127.0.0.1:9")


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
def decoders() -> Iterator[Decoders]:
    """Return the decoder processes that all engines of these tests share."""
    with Decoders(2) as decoders:
        yield decoders


@pytest.fixture(scope="session")
def real_engine(catalogue: Path, decoders: Decoders, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Return the real engine over the small catalogue."""
    return open_engine(CatalogueConfig(path=catalogue), tmp_path_factory.mktemp("index"), decoders)


@pytest.fixture
def item_of() -> Callable[..., Item]:
    """Return the function that returns a row of the catalogue."""
    return make_item


@pytest.fixture
def findings_of() -> Callable[[Sequence[Item]], Findings]:
    """Return the function that returns findings for rows."""
    return make_findings


@pytest.fixture
def write_form() -> Callable[..., bytes]:
    """Return the function that writes a form."""
    return form


@pytest.fixture
def paint() -> Callable[..., bytes]:
    """Return the function that draws a product picture."""
    return draw_mug
