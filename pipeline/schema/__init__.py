"""The record, schema "1": the JSON line that the responses of every provider become (docs/record.md has all fields).

Records are typed dictionaries, because they are JSON from the moment they are read until they are written. Unknown
scalars are left out, lists are always there. Coordinates are fractions 0..1 of the original picture in its upright
orientation. URLs are copied unchanged.
"""

from pipeline.schema.images import AggregateOffer, Counts, ImageRef, Offer, Seller, SimilarImages
from pipeline.schema.insights import DominantColor, Duplicate, Insights, Other, Safety, Unavailable, no_insights
from pipeline.schema.knowledge import Caption, Collection, Entity, Geo, Recipe, TriviaItem
from pipeline.schema.parts import Attribution, Box, Origin, Person, Point, Query, Rating, Thumbnail
from pipeline.schema.record import (
    SCHEMA_VERSION,
    Calls,
    CallsUsage,
    Record,
    RecordCrop,
    RecordSource,
    Sent,
    json_schema,
)
from pipeline.schema.search import Pivot, SearchSummary, TrendingCategory, no_summary
from pipeline.schema.tags import Action, ActionResults, Tag
from pipeline.schema.text import Line, Region, Text, Uri, Word

__all__ = [
    "SCHEMA_VERSION",
    "Action",
    "ActionResults",
    "AggregateOffer",
    "Attribution",
    "Box",
    "Calls",
    "CallsUsage",
    "Caption",
    "Collection",
    "Counts",
    "DominantColor",
    "Duplicate",
    "Entity",
    "Geo",
    "ImageRef",
    "Insights",
    "Line",
    "Offer",
    "Origin",
    "Other",
    "Person",
    "Pivot",
    "Point",
    "Query",
    "Rating",
    "Recipe",
    "Record",
    "RecordCrop",
    "RecordSource",
    "Region",
    "Safety",
    "SearchSummary",
    "Seller",
    "Sent",
    "SimilarImages",
    "Tag",
    "Text",
    "Thumbnail",
    "TrendingCategory",
    "TriviaItem",
    "Unavailable",
    "Uri",
    "Word",
    "json_schema",
    "no_insights",
    "no_summary",
]
