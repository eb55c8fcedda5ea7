"""The engine: a picture in, findings out. Candidates come from hashes and descriptors, and an overlay verifies each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from pipeline.errors import ServiceError
from pipeline.service.engine import derived_insights
from pipeline.service.engine.analysis import PictureFacts
from pipeline.service.engine.build import Progress, build_index
from pipeline.service.engine.copy_finder import CopyFinder
from pipeline.service.engine.decoders import Decoders
from pipeline.service.engine.embedding import Embedder, open_model
from pipeline.service.engine.index import CatalogueIndex, open_current
from pipeline.service.engine.items import host_of
from pipeline.service.engine.overlay import EDGE
from pipeline.service.engine.picture_files import PictureFiles
from pipeline.service.engine.pictures import WHOLE
from pipeline.service.engine.similarity_search import (
    MAX_SIMILAR,
    EmbeddingQuery,
    Neighbour,
    Neighbours,
    find_neighbours,
    same_as,
)
from pipeline.service.findings import (
    BadPicture,
    CatalogueConfig,
    Crop,
    Engine,
    Findings,
    Item,
    Match,
    ModelConfig,
)

# Similar pictures after the first ones must not be farther behind the best than this. Together with
# similarity_search.MIN_SIMILAR_COSINE, measured on the sample against a bound of .62 alone: a median of 5 are shown
# instead of 39, 77 % of them of the query's family instead of 16 %; the first five are as good, and 88 % of the family
# members that were shown still are.
ALWAYS_SHOWN, MAX_BEHIND_BEST = 5, 0.12


class CatalogueEngine:
    """An Engine (findings.py) over one generation of the index; `embedder` is the model of its embeddings.

    Everything that touches the bytes of a picture is done by `decoders`, in processes of their own.
    """

    def __init__(self, index: CatalogueIndex, decoders: Decoders, embedder: Embedder | None = None) -> None:
        self.index = index
        self._embedder = embedder
        self._decoders = decoders
        self._files = PictureFiles(Path(index.meta.get("root", "/")))
        self._same: dict[int, tuple[int, ...]] = {}
        self._copies = CopyFinder(index, self._decoders, self._files)

    @property
    def count(self) -> int:
        """The number of rows in the index."""
        return self.index.count

    @property
    def skipped(self) -> int:
        """The number of rows that have no readable picture, or the id of an earlier row."""
        return self.index.skipped

    @property
    def left_out(self) -> dict[str, int]:
        """In how many rows a column has text that is not of its form, by column."""
        return self.index.left_out

    @property
    def version(self) -> str:
        """A digest of the indexed catalogue, and of the bound of the embedding model, if there is one."""
        version = str(self.index.meta["version"])
        return f"{version}-{self._embedder.min_cosine:g}" if self._embedder else version

    def inspect(
        self, picture: bytes, *, crop: Crop | None = None, site: str | None = None, max_side_px: int | None = None
    ) -> Findings:
        """Return the findings about a picture; raises BadPicture if it can't be decoded, or is over `max_side_px`."""
        query = self._decoders.read_query(picture, crop or WHOLE, max_side_px)
        digest = sha256(picture).hexdigest()
        own = self.index.slot_of(digest) if crop is None else None
        neighbours = find_neighbours(self.index, query.views, own, self._embed(picture, crop or WHOLE))
        findings = self._findings(query.facts, digest, neighbours, site, own)
        if crop is not None:
            return findings
        return replace(findings, duplicates=self._copies.find(picture, query.facts, neighbours, own))

    def inspect_token(self, token: str, *, crop: Crop | None = None, site: str | None = None) -> Findings | None:
        """Return the findings about a picture of the catalogue; None if none has this token, or its file changed."""
        try:
            data = self.read_picture(token)
        except BadPicture:
            return None
        return self.inspect(data, crop=crop, site=site)

    def items(self, numbers: Sequence[int] | None = None) -> Iterator[Item]:
        """Yield every row in the catalogue's order, or the rows of `numbers` in their order."""
        return self.index.rows(numbers)

    def same_rows(self, items: Sequence[Item]) -> list[tuple[Item, ...]]:
        """Return, for each row, the rows that show the same picture; each picture is searched for once."""
        return [tuple(self._rows_like(item)) for item in items]

    def find_by_url(self, url: str) -> Item | None:
        """Return the row with this content URL, image column or page URL, tried in this order."""
        columns = ("content_url", "image", "page_url")
        return next((item for column in columns if (item := self.index.find_item(column, url)) is not None), None)

    def read_picture(self, token: str) -> bytes:
        """Return the bytes of a picture of the catalogue; raises BadPicture if none has this token, or it changed."""
        file = self.index.file_of(token)
        if file is None:
            raise BadPicture("damaged", "no picture of the catalogue has this token")
        return self._files.read_unchanged(file.path, file.size, file.sha256)

    def thumbnail(self, picture: bytes, width: int, height: int, *, fills: bool = False) -> bytes:
        """Return a JPEG of a picture of at most this size; raises BadPicture."""
        return self._decoders.make_thumbnail(picture, width, height, fills=fills)

    def _rows_like(self, item: Item) -> Iterator[Item]:
        slot = self.index.slot_of(item.sha256) if item.sha256 is not None else None
        if slot is None:
            yield item
            return
        if slot not in self._same:
            self._same[slot] = same_as(self.index, slot)
        for each in self._same[slot]:
            yield from self.index.items(each)

    def _findings(
        self, facts: PictureFacts, digest: str, neighbours: Neighbours, site: str | None, own: int | None
    ) -> Findings:
        same, near = self._matches(neighbours.same), self._matches(neighbours.similar)
        tags = derived_insights.infer_tags(same, near, _covered_box(neighbours.same))
        query = derived_insights.infer_query(same, near)
        similar = self._select_similar(near, neighbours, site)
        return Findings(
            width=facts.width,
            height=facts.height,
            format=facts.format,
            sha256=digest,
            accent_color=facts.accent_color,
            dominant_colors=facts.dominant_colors,
            same=same,
            similar=similar,
            products=tuple(match for match in similar if match.item.price is not None),
            offers=derived_insights.group_offers(match.item for match in same),
            tags=tags,
            best_query=query,
            caption=derived_insights.find_caption(same),
            suggestions=derived_insights.suggest_searches(query, tags, near),
            token=self.index.items(own)[0].token if own is not None else None,
            unavailable=derived_insights.unavailable_insights(same),
        )

    def _select_similar(self, near: Sequence[Match], neighbours: Neighbours, site: str | None) -> tuple[Match, ...]:
        """Return the similar pictures on a site: all matches of the model, or without one the near ones of `near`."""
        if neighbours.embedding_matches is not None:
            matches = self._matches(neighbours.embedding_matches)
            return tuple(match for match in matches if on_site(match.item, site))[:MAX_SIMILAR]
        return drop_far_behind([match for match in near if on_site(match.item, site)])[:MAX_SIMILAR]

    def _embed(self, picture: bytes, crop: Crop) -> EmbeddingQuery | None:
        if self._embedder is None:
            return None
        pixels = self._decoders.read_model_input(picture, crop, self._embedder.config)
        return EmbeddingQuery(embedding=self._embedder.embed(pixels), min_cosine=self._embedder.min_cosine)

    def _matches(self, neighbours: Sequence[Neighbour]) -> tuple[Match, ...]:
        return tuple(
            Match(item=item, score=round(near.score, 4), mirrored=near.view.mirrored)
            for near in neighbours
            for item in self.index.items(near.slot)
        )


def open_engine(
    catalogue: CatalogueConfig,
    index_dir: Path,
    decoders: Decoders,
    *,
    progress: Progress | None = None,
    model: ModelConfig | None = None,
) -> Engine:
    """Bring the index of a catalogue up to date and open it; with a `model`, its embeddings decide what is similar.

    `progress` is called with (rows done, rows in total) from this thread. Raises TableError if the catalogue can't
    be read, ConfigError if the model can't be used, ServiceError if the index can't be written.
    """
    embedder = open_model(model) if model else None
    index = build_index(catalogue, index_dir, progress, embedder=embedder, decoders=decoders)
    return CatalogueEngine(index, decoders, embedder)


def open_existing(index_dir: Path, decoders: Decoders, model: ModelConfig | None = None) -> Engine:
    """Open the index as it is, without reading the catalogue; raises ServiceError if there is none."""
    embedder = open_model(model) if model else None
    try:
        index = open_current(index_dir)
    except OSError as exc:
        raise ServiceError(f"{index_dir}: the index can't be opened ({exc.strerror})") from exc
    if index is None or index.model != (embedder.key if embedder else ""):
        raise ServiceError(f"{index_dir}: there is no index of this version of the service and its model")
    return CatalogueEngine(index, decoders, embedder)


def drop_far_behind(ranked: Sequence[Match]) -> tuple[Match, ...]:
    """Drop the tail of ranked similar pictures: those whose scores are far lower than the best."""
    near = (match for match in ranked[ALWAYS_SHOWN:] if match.score >= ranked[0].score - MAX_BEHIND_BEST)
    return (*ranked[:ALWAYS_SHOWN], *near)


def on_site(item: Item, site: str | None) -> bool:
    """Return True if a row's page is on a site: its host, or a host below it; "www." makes no difference."""
    if not site:
        return True
    wanted = (host_of(site if "//" in site else f"//{site}") or "").removeprefix("www.")
    host = (item.site or "").removeprefix("www.")
    return bool(wanted) and (host == wanted or host.endswith(f".{wanted}"))


def _covered_box(same: Sequence[Neighbour]) -> Crop:
    """Return the part of the query that the best of the same pictures covers."""
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
