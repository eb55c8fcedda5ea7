"""From where rows come to what is to be done with them: the manifest's stretches, or a search's batches, sifted."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from dataclasses import replace

from anyio import CapacityLimiter, to_thread

from pipeline.manifest import Manifest
from pipeline.records import Failure, Row
from pipeline.resume.changes import ChangeDetector, Changes
from pipeline.state.ledger import Ledger


def iter_manifest_changes(manifest: Manifest, detector: ChangeDetector) -> Iterator[Changes]:
    """Sift a manifest from front to end; raises TableError and OutputError."""
    while segments := manifest.segments(detector.spans(manifest.line), detector.settings):
        yield from map(detector.detect_segment, segments)


async def manifest_changes(manifest: Manifest, detector: ChangeDetector) -> AsyncGenerator[Changes, None]:
    """Sift a manifest in worker threads; nothing is read before it is asked for.

    A cancelled wait for the manifest gives up its thread: close the manifest then, or a read from stdin goes on.
    """
    reading, probing = CapacityLimiter(1), CapacityLimiter(1)
    spans = await to_thread.run_sync(detector.spans, manifest.line, limiter=probing)
    while segments := await to_thread.run_sync(
        manifest.segments, spans, detector.settings, limiter=reading, abandon_on_cancel=True
    ):
        for segment in segments:
            yield await to_thread.run_sync(detector.detect_segment, segment, limiter=probing)
        spans = await to_thread.run_sync(detector.spans, manifest.line, limiter=probing)


async def batch_changes(
    batches: AsyncIterator[Sequence[Row | Failure]], detector: ChangeDetector
) -> AsyncGenerator[Changes, None]:
    """Sift rows that come in batches, in a worker thread."""
    probing = CapacityLimiter(1)
    async for batch in batches:
        yield await to_thread.run_sync(detector.detect, batch, limiter=probing)


async def only_lost(changes: AsyncIterator[Changes], ledger: Ledger) -> AsyncGenerator[Changes, None]:
    """Leave of what is to do the rows whose records are lost: the ledger knows their answers."""
    async for part in changes:
        lost = [
            pending_row
            for pending_row in part.pending_row
            if not pending_row.has_record and ledger.prints(pending_row.key)
        ]
        yield replace(part, pending_row=lost, open_checkpoint=None)
