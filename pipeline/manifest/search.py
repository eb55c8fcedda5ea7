"""Images that a search found, or that are trending, as rows: page after page, without duplicates. Pure: no I/O."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from pipeline.config import Columns, ManifestConfig, SearchSettings
from pipeline.errors import LineError, ManifestError, RequestError
from pipeline.manifest.root import Root
from pipeline.manifest.rows import RowRules
from pipeline.records import Failure, Page, Request, Row, SearchHit

CARRIED = ("name", "host_page_url", "content_url", "category", "query")
LARGEST_OFFSET = 65_535  # an UnsignedShort (reference 004, Query parameters)


@runtime_checkable
class ImageSource(Protocol):
    """A provider that also finds images; its `read` makes a Page of what answers these requests."""

    def search(self, search: SearchSettings, offset: int, have: int = 0) -> Request:
        """Build the call for a search's images from `offset` on, `have` of them being there already.

        Raises RequestError where the search breaks a documented rule.
        """

    def trending(self) -> Request:
        """Build the call for the images that are trending."""


class SearchCursor:
    """Pages through what `config` searches for, or through what is trending.

    `request` is the call for the next page, None after the last: where enough images are there, where the service names
    no next offset, or where a page brought nothing new. Raises ManifestError where the search breaks a rule.
    """

    def __init__(self, finder: ImageSource, config: ManifestConfig) -> None:
        self._finder = finder
        self._search = config.search
        self._rules = RowRules(columns=Columns(), root=Root(Path()), carry=CARRIED)
        self._ids: set[str] = set()
        self._rows = 0
        self.request: Request | None = self._ask(config.search.offset if config.search else 0)

    def take(self, page: Page) -> list[Row | Failure]:
        """Return the rows of a page, the answer to `request`, and turn to the next page."""
        new = [found for found in page.images if self._is_new(found)]
        if self._search is not None:
            new = new[: self._search.count - self._rows]
        rows = [self._row(found, self._rows + place) for place, found in enumerate(new)]
        self._rows += len(rows)
        self.request = self._ask(page.next_offset) if new and self._has_more(page.next_offset) else None
        return rows

    def _is_new(self, found: SearchHit) -> bool:
        """Note an image's id; one without any is a row of its own, which says so."""
        is_new = found.id not in self._ids
        if found.id:
            self._ids.add(found.id)
        return is_new

    def _has_more(self, offset: int | None) -> bool:
        enough = self._search is None or self._rows >= self._search.count
        return not enough and offset is not None and 0 <= offset <= LARGEST_OFFSET

    def _ask(self, offset: int | None) -> Request:
        try:
            if self._search is None:
                return self._finder.trending()
            return self._finder.search(self._search, offset or 0, self._rows)
        except RequestError as exc:
            raise ManifestError(f"manifest.search: {exc}") from exc

    def _row(self, found: SearchHit, ordinal: int) -> Row | Failure:
        """Build the row of an image, known by its rank; it can be asked by its token, or else by its URL."""
        fields = {
            "id": found.id,
            "image": _image(found),
            "query": self._search.q if self._search else (found.query or {}).get("text", ""),
            "name": found.name,
            "host_page_url": found.host_page_url,
            "content_url": found.content_url,
            "category": found.category,
        }
        said = {name: value for name, value in fields.items() if value}
        return self._rules.read(said if "image" in said else _NO_PLACE, line=ordinal + 1, ordinal=ordinal)


def _image(found: SearchHit) -> str:
    """Return what names an image; never the name of a file, whatever a service calls a URL."""
    if found.token:
        return f"token:{found.token}"
    return found.content_url if found.content_url.startswith(("http://", "https://")) else ""


_NO_PLACE = LineError("missing-image", "the image that was found has neither an insights token nor an http(s) URL")
