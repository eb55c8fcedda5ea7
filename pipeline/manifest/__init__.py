"""Stage 1: the rows of a manifest, read lazily."""

from pipeline.manifest.opening import open_manifest
from pipeline.manifest.segments import Manifest, Segment

__all__ = ["Manifest", "Segment", "open_manifest"]
