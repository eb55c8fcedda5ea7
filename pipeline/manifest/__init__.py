"""Stage 1: rows, lazily, from a manifest."""

from pipeline.manifest.source import Manifest, batches, open_manifest

__all__ = ["Manifest", "batches", "open_manifest"]
