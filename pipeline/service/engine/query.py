"""What the engine needs of a picture that it is asked about: its facts, and the features of its views."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.service.engine.analysis import PictureFacts, facts_of
from pipeline.service.engine.pictures import PictureHeader, decode
from pipeline.service.engine.views import QueryView, views_of
from pipeline.service.findings import Crop


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A picture of a request; its colours, unlike all other facts, and its views are those of the part asked about."""

    facts: PictureFacts
    views: tuple[QueryView, ...]


def read_query(header: PictureHeader, crop: Crop) -> Query:
    """Decode the part `crop` of a picture and describe it; raises BadPicture."""
    opened = decode(header, crop=crop)
    return Query(facts=facts_of(opened), views=views_of(opened.pixels))
