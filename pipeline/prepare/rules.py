"""What a picture has to become: the provider's limits and the user's wishes, as one small value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.records import STANDARD_FORMATS

if TYPE_CHECKING:  # a worker process needs the rules alone, not the config's and the providers' machinery
    from pipeline.config import PrepareConfig
    from pipeline.records import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRules:
    """The limits a picture must meet and how it may be changed; sizes in bytes and px, qualities on libjpeg's scale.

    `max_file_bytes` caps the original file, `max_decode_bytes` the memory that its decoding may take
    (the Preparer holds all that are decoded at once to the same sum). A picture in one of the `formats` (Pillow's
    names) may pass as it is; JPEG, which is what pictures are encoded in, is always among them.
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


def rules_from(config: PrepareConfig, limits: Limits) -> FitRules:
    """Join [prepare] with the provider's limits: 0 means the provider's own, else the smaller of the two wins."""
    return FitRules(
        max_bytes=min(config.max_bytes or limits.max_bytes, limits.max_bytes),
        max_side_px=min(config.max_side_px or limits.max_side_px, limits.max_side_px),
        min_quality=config.min_quality,
        max_quality=config.max_quality,
        background=config.background,
        upright=config.upright,
        strip_metadata=config.strip_metadata,
        verify=config.verify,
        max_decode_bytes=config.max_decode_bytes,
        max_file_bytes=config.max_file_bytes,
        formats=limits.formats,
    )
