"""search.json of a job: what a search says that is about no single image."""

from __future__ import annotations

from pathlib import Path

import orjson

from pipeline.schema import SCHEMA_VERSION, SearchSummary
from pipeline.sink.output import write_atomically

SEARCH_FILE = "search.json"


def write_search_summary(folder: Path, query: str, summary: SearchSummary) -> None:
    """Replace search.json atomically; without a `query`, the images that are trending were requested."""
    content = {"schema": SCHEMA_VERSION, **({"query": query} if query else {}), **summary}
    write_atomically(folder / SEARCH_FILE, orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")
