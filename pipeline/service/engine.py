"""The engine: one picture in, Findings out. Candidates by hash and descriptor, each verified by an overlay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from pipeline.service import knowledge
from pipeline.service.analysis import read_file
from pipeline.service.build import Progress, build_index
from pipeline.service.color import palette
from pipeline.service.findings import BadPicture, CatalogueConfig, Crop, Engine, Findings, Item, Match
from pipeline.service.index import Index
from pipeline.service.items import host_of
from pipeline.service.match import EDGE
from pipeline.service.pictures import WHOLE, Opened, open_picture
from pipeline.service.search import MOST_ALIKE, Near, Neighbours, search
from pipeline.service.views import views_of

# How far behind the best look-alike another may come. Together with search.ALIKE_FROM, measured on the sample: a median
# of 9 are shown instead of 39, 47 % of them of the query's family instead of 16 %, and the first five are as good.
BEHIND_BEST = 0.18


class CatalogueEngine:
    """Answers from one generation of the index; see findings.Engine."""

    def __init__(self, index: Index) -> None:
        self.index = index

    @property
    def count(self) -> int:
        """How many rows the index holds."""
        return self.index.count

    @property
    def skipped(self) -> int:
        """How many rows have no picture that can be read, or a taken id."""
        return self.index.skipped

    @property
    def version(self) -> str:
        """A digest of the catalogue as indexed."""
        return str(self.index.meta["version"])

    def look(self, picture: bytes, *, crop: Crop | None = None, site: str | None = None) -> Findings:
        """Find what is known of a picture; raises BadPicture where the bytes are none."""
        opened = open_picture(picture, crop=crop or WHOLE)
        own = self.index.slot_of(opened.sha256) if crop is None else None
        return self._findings(opened, search(self.index, views_of(opened.pixels), own), site, own)

    def look_up(self, token: str, *, crop: Crop | None = None, site: str | None = None) -> Findings | None:
        """Find what is known of one of the catalogue's own pictures; None where none has this token any more."""
        item = self.index.find("token", token)
        file = self.picture(token)
        if item is None or file is None:
            return None
        try:
            data = read_file(file)
        except BadPicture:
            return None
        return self.look(data, crop=crop, site=site) if sha256(data).hexdigest() == item.sha256 else None

    def items(self, numbers: Sequence[int] | None = None) -> Iterator[Item]:
        """Yield every row in the catalogue's order, or the rows of `numbers` in their order."""
        return self.index.rows(numbers)

    def find_url(self, url: str) -> Item | None:
        """Find a row by its content URL, image column or page URL, in this order."""
        columns = ("content_url", "image", "page_url")
        return next((item for column in columns if (item := self.index.find(column, url)) is not None), None)

    def picture(self, token: str) -> Path | None:
        """Return the file of a picture of the catalogue; None where none has this token."""
        return self.index.file_of(token)

    def _findings(self, opened: Opened, neighbours: Neighbours, site: str | None, own: int | None) -> Findings:
        colors = palette(opened.pixels)
        copies, likes = self._matches(neighbours.same), self._matches(neighbours.alike)
        tags = knowledge.guess_tags(copies, likes, _box(neighbours.same))
        query = knowledge.guess_query(copies, likes)
        shown = not_far_behind([match for match in likes if on_site(match.item, site)])[:MOST_ALIKE]
        return Findings(
            width=opened.width,
            height=opened.height,
            format=opened.format,
            sha256=opened.sha256,
            accent_color=colors.accent,
            dominant_colors=colors.dominant,
            same=copies,
            alike=shown,
            products=tuple(match for match in shown if match.item.price is not None),
            offers=knowledge.group_offers(match.item for match in copies),
            tags=tags,
            best_query=query,
            caption=knowledge.find_caption(copies),
            suggestions=knowledge.suggest(query, tags, likes),
            token=self.index.items(own)[0].token if own is not None else None,
            unavailable=knowledge.name_unavailable(copies),
        )

    def _matches(self, near: Sequence[Near]) -> tuple[Match, ...]:
        return tuple(
            Match(item=item, score=round(each.score, 4), mirrored=each.view.mirrored)
            for each in near
            for item in self.index.items(each.slot)
        )


def open_engine(catalogue: CatalogueConfig, index_dir: Path, *, progress: Progress | None = None) -> Engine:
    """Bring the index of a catalogue up to date and open it.

    `progress` is called with (rows done, rows in all) from this thread. Raises ManifestError where the catalogue can't
    be read, ServiceError where the index can't be written.
    """
    return CatalogueEngine(build_index(catalogue, index_dir, progress))


def not_far_behind(ranked: Sequence[Match]) -> tuple[Match, ...]:
    """Leave out the tail of ranked look-alikes: those that are far less like the query than the best of them."""
    return tuple(match for match in ranked if match.score >= ranked[0].score - BEHIND_BEST)


def on_site(item: Item, site: str | None) -> bool:
    """Tell whether a row's page is on a site: its host, or a host below it; "www." makes no difference."""
    if not site:
        return True
    wanted = (host_of(site if "//" in site else f"//{site}") or "").removeprefix("www.")
    host = (item.site or "").removeprefix("www.")
    return bool(wanted) and (host == wanted or host.endswith(f".{wanted}"))


def _box(same: Sequence[Near]) -> Crop:
    """Return the part of the query that the same picture covers."""
    if not same:
        return WHOLE
    view, overlay = same[0].view, same[0].overlay
    if overlay is None or not overlay.within_query:
        return view.box
    left, top, right, bottom = (edge / EDGE for edge in overlay.window)
    if view.mirrored:
        left, right = 1 - right, 1 - left
    x, y, width, height = view.box[0], view.box[1], view.box[2] - view.box[0], view.box[3] - view.box[1]
    return x + left * width, y + top * height, x + right * width, y + bottom * height
