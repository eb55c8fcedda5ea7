"""Stage 1: the rows of a manifest, read lazily."""

from pipeline.manifest.opening import STDIN, open_manifest
from pipeline.manifest.segments import Manifest, Segment

__all__ = ["STDIN", "Manifest", "Segment", "open_manifest"]
