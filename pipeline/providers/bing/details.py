"""Requests to /images/details: an image's insights by module (references 001 and 004)."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.providers.bing.multipart import Part, encode
from pipeline.providers.bing.picture import Picture
from pipeline.providers.bing.question import Pairs, row_market, shared_query, target
from pipeline.providers.bing.settings import QuerySettings
from pipeline.records import Crop, Request, Row

PATH = "/images/details"
ENTITIES = "RecognizedEntities"
_NAMES = {"url": "imgUrl", "token": "insightsToken"}


def details(row: Row, picture: Picture, settings: QuerySettings, headers: Pairs, endpoint: str) -> list[Request]:
    """Build the calls of a row: RecognizedEntities must not be asked for with other modules, so it takes its own."""
    market = row_market(row, settings)
    about = [(_NAMES[picture.form], picture.text)] if picture.form != "bytes" else []
    query = row.query or settings.query
    if query:
        about.append(("q", query))
    content_type, body = _form(picture)
    found = []
    for modules in module_sets(settings.modules or ("All",)):
        pairs = (*about, ("modules", ",".join(modules)), *_crop(row.crop), *shared_query(settings, market))
        found.append(
            Request(
                method="POST" if body else "GET",
                target=target(endpoint, PATH, pairs),
                form=picture.form,
                headers=((("Content-Type", content_type), *headers) if body else headers),
                body=body,
                crop=row.crop,
            )
        )
    return found


def module_sets(modules: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the modules of each call, in a stable order and once each."""
    others = tuple(dict.fromkeys(module for module in modules if module != ENTITIES))
    sets = [others, (ENTITIES,) if ENTITIES in modules else ()]
    return [found for found in sets if found]


def _form(picture: Picture) -> tuple[str, bytes]:
    if picture.form != "bytes":
        return "", b""
    return encode([Part(name="image", data=picture.data, media_type=picture.media_type)])


def _crop(crop: Crop | None) -> Pairs:
    """Return left, top, right, bottom and the crop's type; 0, rectangular, is the only one there is."""
    if crop is None:
        return ()
    edges = (("cal", crop.left), ("cat", crop.top), ("car", crop.right), ("cab", crop.bottom))
    return (*((name, repr(float(edge))) for name, edge in edges), ("ct", "0"))
