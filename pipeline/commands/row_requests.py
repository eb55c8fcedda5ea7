"""The requests that a row will take, built before its picture is prepared, to count and to price them."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config import PrepareConfig
from pipeline.prepare.fit_rules import rules_from
from pipeline.prepare.sources import PictureSources
from pipeline.providers.base import Provider
from pipeline.records import (
    ArchiveMember,
    InsightsToken,
    LocalFile,
    Prepared,
    RemoteUrl,
    Request,
    Row,
    SourceFacts,
    image_name,
)


class RowRequests:
    """Builds the requests of rows with a stand-in for their pictures, of which nothing is ever sent.

    It is as large as a picture may become, and 4:3: services whose price depends on the size are priced so.
    """

    def __init__(self, provider: Provider, prepare: PrepareConfig, sources: PictureSources) -> None:
        self.provider = provider
        self._sources = sources
        width = rules_from(prepare, provider.limits).max_side_px
        height = max(1, width * 3 // 4)
        self._picture = Prepared(
            source=SourceFacts(sha256="", width=width, height=height, bytes=1, format="JPEG"),
            data=b"\xff\xd8\xff\xd9",
            action="passed",
            width=width,
            height=height,
            format="JPEG",
            media_type="image/jpeg",
        )

    def requests(self, row: Row) -> Sequence[Request]:
        """Return the requests that a row takes at least; raises RowError where it breaks a rule."""
        return self.provider.requests(row, self._picture if self._is_sent_as_bytes(row) else None)

    def picture(self, row: Row) -> str:
        """Return what tells a row's picture from others: its content if it is on this machine, else its name.

        Raises SourceError where it can't be read.
        """
        if isinstance(row.image, LocalFile | ArchiveMember):
            return self._sources.hash(row.image)
        return image_name(row.image)

    def _is_sent_as_bytes(self, row: Row) -> bool:
        match row.image:
            case InsightsToken():
                return False
            case RemoteUrl():
                return "url" not in self.provider.limits.forms
        return True
