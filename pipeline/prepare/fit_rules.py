"""The rules by which a picture is prepared: the provider's limits joined with the [prepare] table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.records import STANDARD_FORMATS

if TYPE_CHECKING:  # worker processes need the rules, but not the imports of config
    from pipeline.config import PrepareConfig
    from pipeline.records import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRules:
    """The limits of a picture, and how it may be changed to meet them; qualities are on libjpeg's scale.

    `max_file_bytes` limits the original file, `max_decode_bytes` the memory for decoding it. The Preparer holds all
    pictures that are decoded at the same time to the same `max_decode_bytes`. A picture in one
    of the `formats` (Pillow's names) can pass unchanged; JPEG, the format of encoded pictures, is always among them.
    `thumbnail_px` is the longer side of the thumbnail that is made beside, 0 for none.
    """

    max_bytes: int
    max_side_px: int
    min_quality: int = 50
    max_quality: int = 95
    background: str = "#ffffff"
    upright: bool = False
    strip_metadata: bool = False
    verify: bool = False
    max_decode_bytes: int = 512_000_000
    max_file_bytes: int = 64 * 1024 * 1024
    formats: frozenset[str] = STANDARD_FORMATS
    thumbnail_px: int = 0


def rules_from(config: PrepareConfig, limits: Limits, *, thumbnail_px: int = 0) -> FitRules:
    """Join [prepare] with the provider's limits: 0 stands for what is usual there; no limit is ever exceeded."""
    return FitRules(
        max_bytes=min(config.max_bytes or limits.usual_bytes or limits.max_bytes, limits.max_bytes),
        max_side_px=min(config.max_side_px or limits.usual_side_px or limits.max_side_px, limits.max_side_px),
        min_quality=config.min_quality,
        max_quality=config.max_quality,
        background=config.background,
        upright=config.upright or limits.is_upright,
        strip_metadata=config.strip_metadata,
        verify=config.verify,
        max_decode_bytes=config.max_decode_bytes,
        max_file_bytes=config.max_file_bytes,
        formats=limits.formats,
        thumbnail_px=thumbnail_px,
    )
