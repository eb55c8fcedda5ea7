"""From where rows come to what is to be done with them: the manifest's stretches, or a search's batches, sifted."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from dataclasses import replace

from anyio import CapacityLimiter, to_thread

from pipeline.manifest import Manifest
from pipeline.records import Failure, Row
from pipeline.sink.ledger import Ledger
from pipeline.sink.probe import Probe, Sifted


def sift_manifest(manifest: Manifest, probe: Probe) -> Iterator[Sifted]:
    """Sift a manifest from front to end; raises ManifestError and OutputError."""
    while stretches := manifest.stretches(probe.spans(manifest.line), probe.settings):
        yield from map(probe.sift_stretch, stretches)


async def sifted_manifest(manifest: Manifest, probe: Probe) -> AsyncGenerator[Sifted, None]:
    """Sift a manifest in worker threads; nothing is read before it is asked for.

    A cancelled wait for the manifest gives up its thread: close the manifest then, or a read from stdin goes on.
    """
    reading, probing = CapacityLimiter(1), CapacityLimiter(1)
    spans = await to_thread.run_sync(probe.spans, manifest.line, limiter=probing)
    while stretches := await to_thread.run_sync(
        manifest.stretches, spans, probe.settings, limiter=reading, abandon_on_cancel=True
    ):
        for stretch in stretches:
            yield await to_thread.run_sync(probe.sift_stretch, stretch, limiter=probing)
        spans = await to_thread.run_sync(probe.spans, manifest.line, limiter=probing)


async def sifted_batches(batches: AsyncIterator[Sequence[Row | Failure]], probe: Probe) -> AsyncGenerator[Sifted, None]:
    """Sift rows that come in batches, in a worker thread."""
    probing = CapacityLimiter(1)
    async for batch in batches:
        yield await to_thread.run_sync(probe.sift, batch, limiter=probing)


async def only_lost(sifted: AsyncIterator[Sifted], ledger: Ledger) -> AsyncGenerator[Sifted, None]:
    """Leave of what is to do the rows whose records are lost: the ledger knows their answers."""
    async for part in sifted:
        lost = [todo for todo in part.todo if not todo.has_record and ledger.prints(todo.key)]
        yield replace(part, todo=lost, draft=None)
