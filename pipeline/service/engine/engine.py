"""The engine: one picture in, Findings out. Candidates by hash and descriptor, each verified by an overlay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from pipeline.errors import ServiceError
from pipeline.service.engine import knowledge
from pipeline.service.engine.analysis import read_file
from pipeline.service.engine.build import Progress, build_index
from pipeline.service.engine.color import palette
from pipeline.service.engine.embedding import Embedder, open_model
from pipeline.service.engine.index import Index, open_current
from pipeline.service.engine.items import host_of
from pipeline.service.engine.match import EDGE
from pipeline.service.engine.pictures import WHOLE, Opened, open_picture
from pipeline.service.engine.search import MOST_ALIKE, Meaning, Near, Neighbours, search
from pipeline.service.engine.views import views_of
from pipeline.service.findings import BadPicture, CatalogueConfig, Crop, Engine, Findings, Item, Match, ModelConfig

# Look-alikes after the first five must not come farther behind the best. With search.ALIKE_FROM, measured on the sample
# against a bound of .62 alone: a median of 5 are shown instead of 39, 77 % of them of the query's family instead of
# 16 %; the first five are as good, and 88 % of the family members that were shown still are.
SURE, BEHIND_BEST = 5, 0.12


class CatalogueEngine:
    """Answers from one generation of the index; see findings.Engine. `embedder` is the model that it was made with."""

    def __init__(self, index: Index, embedder: Embedder | None = None) -> None:
        self.index = index
        self._embedder = embedder

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
        """A digest of the catalogue as indexed, and of what is alike where a model says so."""
        version = str(self.index.meta["version"])
        return f"{version}-{self._embedder.alike_from:g}" if self._embedder else version

    def look(self, picture: bytes, *, crop: Crop | None = None, site: str | None = None) -> Findings:
        """Find what is known of a picture; raises BadPicture where the bytes are none."""
        opened = open_picture(picture, crop=crop or WHOLE)
        own = self.index.slot_of(opened.sha256) if crop is None else None
        meaning = self._meaning(picture, crop or WHOLE)
        return self._findings(opened, search(self.index, views_of(opened.pixels), own, meaning), site, own)

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
        shown = self._shown(likes, neighbours, site)
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

    def _shown(self, likes: Sequence[Match], neighbours: Neighbours, site: str | None) -> tuple[Match, ...]:
        """Return the look-alikes on a site: by appearance the near ones of `likes`, by a model all that it found."""
        found = likes if neighbours.kin is None else self._matches(neighbours.kin)
        here = tuple(match for match in found if on_site(match.item, site))
        return (not_far_behind(here) if neighbours.kin is None else here)[:MOST_ALIKE]

    def _meaning(self, picture: bytes, crop: Crop) -> Meaning | None:
        if self._embedder is None:
            return None
        return Meaning(embedding=self._embedder.embed(picture, crop=crop), alike_from=self._embedder.alike_from)

    def _matches(self, near: Sequence[Near]) -> tuple[Match, ...]:
        return tuple(
            Match(item=item, score=round(each.score, 4), mirrored=each.view.mirrored)
            for each in near
            for item in self.index.items(each.slot)
        )


def open_engine(
    catalogue: CatalogueConfig, index_dir: Path, *, progress: Progress | None = None, model: ModelConfig | None = None
) -> Engine:
    """Bring the index of a catalogue up to date and open it; with a `model`, look-alikes are what it says.

    `progress` is called with (rows done, rows in all) from this thread. Raises TableError where the catalogue can't
    be read, ConfigError where the model can't be used, ServiceError where the index can't be written.
    """
    embedder = open_model(model) if model else None
    return CatalogueEngine(build_index(catalogue, index_dir, progress, embedder=embedder), embedder)


def open_built(index_dir: Path, model: ModelConfig | None = None) -> Engine:
    """Open the index as it lies there, without a look at the catalogue; raises ServiceError where there is none."""
    embedder = open_model(model) if model else None
    try:
        index = open_current(index_dir)
    except OSError as exc:
        raise ServiceError(f"{index_dir}: the index can't be opened ({exc.strerror})") from exc
    if index is None or index.model != (embedder.key if embedder else ""):
        raise ServiceError(f"{index_dir}: there is no index that this service and its model made")
    return CatalogueEngine(index, embedder)


def not_far_behind(ranked: Sequence[Match]) -> tuple[Match, ...]:
    """Leave out the tail of ranked look-alikes: those that are far less like the query than the best of them."""
    near = (match for match in ranked[SURE:] if match.score >= ranked[0].score - BEHIND_BEST)
    return (*ranked[:SURE], *near)


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
