"""The images of a search, or those that are trending, as rows: page after page, each image once. Pure: no I/O."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from pipeline.config import Columns, ManifestConfig, SearchSettings
from pipeline.errors import ConfigError, LineError, RequestError, SearchFailed
from pipeline.manifest.rows import RowRules
from pipeline.records import Failure, Page, Request, Row, SearchHit, Skipped
from pipeline.schema import SearchSummary, no_summary
from pipeline.tabular.cells import Naming
from pipeline.tabular.root import Root

CARRIED = ("name", "host_page_url", "content_url", "category", "query")
MAX_OFFSET = 65_535  # an offset is an unsigned 16-bit number; manifest.search.offset has the same bound


@runtime_checkable
class ImageSource(Protocol):
    """A provider that also finds images; its `read` makes a Page of the answer to these requests."""

    def search(self, search: SearchSettings, offset: int, have: int = 0) -> Request:
        """Build the request for a search's images from `offset` on; `have` images were received before.

        Raises RequestError where the search breaks a documented rule.
        """

    def trending(self) -> Request:
        """Build the request for the images that are trending."""


class SearchCursor:
    """Pages through what `config` searches for, or through what is trending.

    `request` is the request for the next page. It is None after the last one: when there are enough images, when the
    service names no next offset, or when a page brought nothing new. `summary` is what the pages so far say about the
    search. Raises ConfigError where the search breaks a rule.
    """

    def __init__(self, source: ImageSource, config: ManifestConfig) -> None:
        self._source = source
        self._search = config.search
        naming = Naming(ids=("id",), image="image")
        self._rules = RowRules(columns=Columns(), root=Root(Path(), "manifest"), carry=CARRIED, naming=naming)
        self._ids: set[str] = set()
        self._rows = 0
        self.summary = no_summary()
        self.request: Request | None
        try:
            self.request = self._page_request(config.search.offset if config.search else 0)
        except RequestError as exc:
            raise ConfigError("manifest.search", [str(exc)]) from exc

    def take(self, page: Page) -> list[Row | Failure]:
        """Return the rows of a page, the answer to `request`, and turn to the next page.

        Raises SearchFailed where the next page can't be requested.
        """
        self.summary = merge_summaries(self.summary, page.summary)
        hits = [hit for hit in page.images if self._is_new(hit)]
        if self._search is not None:
            hits = hits[: self._search.count - self._rows]
        rows = [row for place, hit in enumerate(hits) for row in self._read(hit, self._rows + place)]
        self._rows += len(rows)
        try:
            self.request = self._page_request(page.next_offset) if hits and self._has_more(page.next_offset) else None
        except RequestError as exc:
            raise SearchFailed(f"manifest.search: {exc}") from exc
        return rows

    def _is_new(self, hit: SearchHit) -> bool:
        """Note an image's id; every image without an id is new, and fails or not by what else it has."""
        is_new = hit.id not in self._ids
        if hit.id:
            self._ids.add(hit.id)
        return is_new

    def _has_more(self, offset: int | None) -> bool:
        is_enough = self._search is None or self._rows >= self._search.count
        return not is_enough and offset is not None and 0 <= offset <= MAX_OFFSET

    def _page_request(self, offset: int | None) -> Request:
        if self._search is None:
            return self._source.trending()
        return self._source.search(self._search, offset or 0, self._rows)

    def _read(self, hit: SearchHit, ordinal: int) -> list[Row | Failure]:
        """Return the row of an image, by itself in a list; its line is its rank."""
        fields = {
            "id": hit.id,
            "image": _image_text(hit),
            "query": self._search.q if self._search else (hit.query or {}).get("text", ""),
            "name": hit.name,
            "host_page_url": hit.host_page_url,
            "content_url": hit.content_url,
            "category": hit.category,
        }
        given = {name: value for name, value in fields.items() if value}
        items = self._rules.read(given if "image" in given else _NO_IMAGE, line=ordinal + 1, ordinal=ordinal)
        rows = [item for item in items if not isinstance(item, Skipped)]
        return [replace(row, search_result=hit.image) if isinstance(row, Row) else row for row in rows]


def merge_summaries(so_far: SearchSummary, page: SearchSummary) -> SearchSummary:
    """Return both summaries as one: lists without what is repeated, and of single values the later one."""
    merged: dict[str, Any] = {**so_far, **page}
    for name, value in so_far.items():
        if isinstance(value, list):
            merged[name] = value + [item for item in merged[name] if item not in value]
    return cast("SearchSummary", merged)


def _image_text(hit: SearchHit) -> str:
    """Return an image's token, or else its URL; never a path, because a service names no file of this machine."""
    if hit.token:
        return f"token:{hit.token}"
    return hit.content_url if hit.content_url.startswith(("http://", "https://")) else ""


_NO_IMAGE = LineError("missing-image", "this result of the search has neither an insights token nor an http(s) URL")
