"""Stage 1: rows, lazily, from a manifest."""

from pipeline.manifest.segments import Manifest, Segment
from pipeline.manifest.source import open_manifest

__all__ = ["Manifest", "Segment", "open_manifest"]
