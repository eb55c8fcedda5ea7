"""Stage 1: rows, lazily, from a manifest."""

from pipeline.manifest.source import open_manifest
from pipeline.manifest.stretches import Manifest, Stretch

__all__ = ["Manifest", "Stretch", "open_manifest"]
