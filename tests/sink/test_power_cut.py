"""After a power cut, what the ledger says of the output files is still in them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.sink.job_files import FAILURES, INSIGHTS, open_job
from pipeline.sink.sink import Finished, write_batch
from pipeline.state.job_state import open_state
from pipeline.state.ledger import State
from tests.rows import finished


class PowerCut(BaseException):
    """The machine stops at this instant."""


class PageCache:
    """A disk that keeps of each file only what was synced, once the power is cut.

    `cut_before` counts the syncs until the power fails in front of one; None: it never does.
    """

    def __init__(self) -> None:
        self.cut_before: int | None = None
        self._fdatasync = os.fdatasync
        self._ftruncate = os.ftruncate
        self._synced: dict[int, int] = {}

    def fdatasync(self, fd: int) -> None:
        """Bring a file to the disk, unless the power fails first."""
        if self.cut_before is not None:
            self.cut_before -= 1
            if self.cut_before < 0:
                raise PowerCut
        self._fdatasync(fd)
        file = os.fstat(fd)
        self._synced[file.st_ino] = file.st_size

    def ftruncate(self, fd: int, length: int) -> None:
        """Shorten a file; a machine without power does nothing any more."""
        if self.cut_before is None or self.cut_before >= 0:
            self._ftruncate(fd, length)

    def cut_power(self, paths: Sequence[Path]) -> None:
        """Forget what was not synced."""
        for path in paths:
            os.truncate(path, self._synced.get(path.stat().st_ino, 0))


@pytest.fixture
def page_cache(monkeypatch: pytest.MonkeyPatch) -> PageCache:
    cache = PageCache()
    monkeypatch.setattr(os, "fdatasync", cache.fdatasync)
    monkeypatch.setattr(os, "ftruncate", cache.ftruncate)
    return cache


BATCHES: list[list[Finished]] = [
    [finished("a"), finished("b"), finished("f", state=State.FAILED, code="x")],
    [finished("c"), finished("g", state=State.FAILED, code="x")],
]


@pytest.mark.parametrize("syncs", [0, 1, 2, 3, None])
def test_the_ledger_claims_no_byte_that_a_power_cut_took(
    tmp_path: Path, page_cache: PageCache, syncs: int | None
) -> None:
    """Wherever the power fails, each line that the ledger counts as written is on the disk, whole."""
    files = [tmp_path / INSIGHTS, tmp_path / FAILURES]
    page_cache.cut_before = syncs
    try:
        with open_job(tmp_path) as job:
            for batch in BATCHES:
                write_batch(job, batch)
    except PowerCut:
        assert syncs is not None
    page_cache.cut_power(files)
    with open_state(tmp_path / "state.db") as state:
        counted = {path.name: state.files.committed(path.name) for path in files}
        marked = state.ledger.counts().get(State.DONE, 0)
    assert all(counted[path.name] <= path.stat().st_size for path in files)
    assert (tmp_path / INSIGHTS).read_bytes()[: counted[INSIGHTS]].count(b"\n") == marked
    assert syncs is not None or marked == 3
