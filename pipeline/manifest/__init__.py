"""Stage 1: the rows of a manifest, read lazily."""

from pipeline.manifest.segments import Manifest, Segment
from pipeline.manifest.source import open_manifest

__all__ = ["Manifest", "Segment", "open_manifest"]
