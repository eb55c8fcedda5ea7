"""Loads pictures that requests name by their URL, under the same guards as the downloads of a run."""

from __future__ import annotations

from typing import Final

from pipeline.downloads.addresses import AddressRules
from pipeline.downloads.client import ClientRules
from pipeline.downloads.downloader import Downloader, DownloadRules
from pipeline.errors import SourceError
from pipeline.service.access.fair_queue import FairQueue
from pipeline.service.http.insight_responses import HintCategory, QualityHint

# A picture takes 1 MB of memory at most, and one caller's slow servers hold up others by one download.
MAX_AT_ONCE: Final = 8
# From connecting to the last byte, over all redirects: the caller waits for it.
TIMEOUT_SECONDS: Final = 10.0
_CATEGORIES: Final[dict[str, HintCategory]] = {
    "too-large": "ImageByteSizeExceedsLimit",
    "not-a-picture": "UnknownFormat",
    "unsupported-format": "UnknownFormat",
}
# Where the sentences of the downloads name settings of a run.
_SENTENCES: Final = {
    "refused-address": "the URL leads to an address of a private network; the service loads from public ones only",
    "timeout": f"the server did not send the picture within {TIMEOUT_SECONDS:g} s",
    "too-large": "the file is larger than a picture may be",
    "noai": "the server asks that its pictures are not used by AI (X-Robots-Tag)",
}


class PictureDownloads:
    """Loads pictures of at most `max_bytes` from `addresses`, a few at a time, in a queue that is fair to all callers.

    Each download has connections of its own and one attempt, so that nothing is kept of the hosts that callers name.
    """

    def __init__(self, addresses: AddressRules, max_bytes: int) -> None:
        client = ClientRules(max_bytes=max_bytes, timeout=TIMEOUT_SECONDS, addresses=addresses)
        self._rules = DownloadRules(client=client, attempts=1, patience=0.0)
        self._turns = FairQueue(MAX_AT_ONCE)

    async def load(self, caller: str, url: str) -> bytes | QualityHint:
        """Return the picture at a URL, or the hint that says why it can't be loaded."""
        async with self._turns.slot(caller):
            try:
                async with Downloader(self._rules) as downloader, downloader.picture(url) as data:
                    return data
            except SourceError as exc:
                category = _CATEGORIES.get(exc.code, "ImageDownloadFailed")
                return QualityHint(category=category, details=_SENTENCES.get(exc.code, str(exc)))
