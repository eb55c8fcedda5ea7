"""Requests to /images/details, which returns the insights of an image by module.

Sources: Image Insights guide and Image Search reference.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.providers.bing.common_parameters import Pairs, row_market, shared_query, target
from pipeline.providers.bing.documented_values import decimal_text
from pipeline.providers.bing.form_data import FormPart, encode
from pipeline.providers.bing.picture import Picture
from pipeline.providers.bing.settings import QuerySettings
from pipeline.records import Crop, Request, Row

PATH = "/images/details"
ENTITIES = "RecognizedEntities"
_PARAMETERS = {"url": "imgUrl", "token": "insightsToken"}


def details_requests(
    row: Row, picture: Picture, settings: QuerySettings, headers: Pairs, endpoint: str
) -> list[Request]:
    """Build the requests of a row: one, and another for RecognizedEntities, which excludes all other modules."""
    market = row_market(row, settings)
    picture_and_query = [(_PARAMETERS[picture.form], picture.text)] if picture.form != "bytes" else []
    query = row.query or settings.query
    if query:
        picture_and_query.append(("q", query))
    content_type, body = "", b""
    if picture.form == "bytes":
        content_type, body = encode([FormPart(name="image", data=picture.data, media_type=picture.media_type)])
    requests = []
    for modules in module_sets(settings.modules or ("All",)):
        modules_pair = ("modules", ",".join(modules))
        pairs = (*picture_and_query, modules_pair, *_crop(row.crop), *shared_query(settings, market))
        requests.append(
            Request(
                method="POST" if body else "GET",
                target=target(endpoint, PATH, pairs),
                form=picture.form,
                headers=((("Content-Type", content_type), *headers) if body else headers),
                body=body,
                crop=row.crop,
            )
        )
    return requests


def module_sets(modules: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the modules of each request, in a stable order and without duplicates."""
    others = tuple(dict.fromkeys(module for module in modules if module != ENTITIES))
    sets = [others, (ENTITIES,) if ENTITIES in modules else ()]
    return [module_set for module_set in sets if module_set]


def _crop(crop: Crop | None) -> Pairs:
    """Return left, top, right, bottom and the type of a crop; the only type is 0, rectangular."""
    if crop is None:
        return ()
    edges = (("cal", crop.left), ("cat", crop.top), ("car", crop.right), ("cab", crop.bottom))
    return (*((name, decimal_text(float(edge))) for name, edge in edges), ("ct", "0"))
