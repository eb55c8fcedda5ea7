"""[output]: where the records go, what is kept, and how many failures are bearable."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from pipeline.config.section import Section
from pipeline.config.values import Age, Count, Duration, Text, parse_share


class Share(Section):
    """So many rows, or such a share of them."""

    count: Count | None = None
    share: float | None = Field(default=None, ge=0, le=1)

    def exceeded(self, failed: int, total: int) -> bool:
        """Return True if `failed` of `total` rows are too many; a share is judged from 20 rows on."""
        if self.count is not None:
            return failed > self.count
        return self.share is not None and total >= 20 and failed > self.share * total


def _share(value: object) -> object:
    if isinstance(value, Share):
        return value
    count, share = parse_share(value)
    return Share(count=count, share=share)


class OutputConfig(Section):
    """[output]: where the records go, what is kept, and how many failures are bearable."""

    dir: Text
    max_failed: Annotated[Share, BeforeValidator(_share)] = Share(share=0.05)
    refresh: Age = None
    prune: bool = False
    max_removed: Annotated[Share, BeforeValidator(_share)] = Share(share=0.1)
    several_manifests: bool = False
    report: bool = False
    history: Duration = 90 * 86400.0
