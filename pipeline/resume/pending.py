"""The changes of a whole source of rows: the segments of a manifest, or the batches of a search."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from dataclasses import replace

from anyio import CapacityLimiter, to_thread

from pipeline.manifest import Manifest
from pipeline.records import Failure, Row
from pipeline.resume.changes import ChangeDetector, Changes
from pipeline.resume.keys import row_key
from pipeline.state.database import chunks
from pipeline.state.known_rows import KnownRows

_ROWS_AT_ONCE = 500


def is_unknown(manifest: Manifest, known_rows: KnownRows) -> bool:
    """Return True if a manifest has rows and the ledger knows none of them; it is read up to the first known one.

    Raises TableError and OutputError.
    """
    has_rows = False
    for items in chunks(manifest.rows(), _ROWS_AT_ONCE):
        if known_rows.look_up([row_key(item.id) for item in items if item.id is not None]):
            return False
        has_rows = True
    return has_rows


def iter_manifest_changes(manifest: Manifest, detector: ChangeDetector) -> Iterator[Changes]:
    """Detect the changes of a manifest from front to end; raises TableError and OutputError."""
    while segments := manifest.segments(detector.checkpoints(manifest.line), detector.settings):
        yield from map(detector.detect_segment, segments)


async def manifest_changes(manifest: Manifest, detector: ChangeDetector) -> AsyncGenerator[Changes, None]:
    """Detect the changes of a manifest in worker threads; nothing is read before it is asked for.

    A cancelled wait for the manifest gives up its thread: close the manifest then, or a read from stdin goes on.
    """
    reading, detecting = CapacityLimiter(1), CapacityLimiter(1)
    checkpoints = await to_thread.run_sync(detector.checkpoints, manifest.line, limiter=detecting)
    while segments := await to_thread.run_sync(
        manifest.segments, checkpoints, detector.settings, limiter=reading, abandon_on_cancel=True
    ):
        for segment in segments:
            yield await to_thread.run_sync(detector.detect_segment, segment, limiter=detecting)
        checkpoints = await to_thread.run_sync(detector.checkpoints, manifest.line, limiter=detecting)


async def batch_changes(
    batches: AsyncIterator[Sequence[Row | Failure]], detector: ChangeDetector
) -> AsyncGenerator[Changes, None]:
    """Detect the changes of rows that come in batches, in a worker thread."""
    detecting = CapacityLimiter(1)
    async for batch in batches:
        yield await to_thread.run_sync(detector.detect, batch, limiter=detecting)


async def only_lost(changes: AsyncIterator[Changes], known_rows: KnownRows) -> AsyncGenerator[Changes, None]:
    """Leave only the pending rows whose records are lost: the ledger knows their answers."""
    async for part in changes:
        lost = [
            pending_row
            for pending_row in part.pending_rows
            if not pending_row.has_record and known_rows.fingerprints(pending_row.row_key)
        ]
        yield replace(part, pending_rows=lost, open_checkpoint=None)
