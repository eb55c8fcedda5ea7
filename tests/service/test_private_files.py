"""The service's files are private (index, searches, quotas, texts, uploads, journal); planted links aren't followed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.errors import ServiceError
from pipeline.service.access.monthly_quota import UsageStore
from pipeline.service.engine.build import STAGING, build_index
from pipeline.service.findings import CatalogueConfig
from pipeline.service.http.journal import Journal, JournalEntry
from pipeline.service.http.upload_store import UploadStore
from pipeline.service.search.query_log import QueryLog
from pipeline.service.text.store import TextStore
from tests.permissions import open_to_others, plant, umask
from tests.service.engine.drawing import fill


def build(folder: Path) -> None:
    build_index(CatalogueConfig(path=folder.parent / "pictures"), folder)


def log_a_search(folder: Path) -> None:
    with closing(QueryLog(folder / "queries.db")) as log:
        log.record("mug", ["1"])


def count_a_query(folder: Path) -> None:
    with closing(UsageStore(folder / "quota.db")) as usage:
        assert usage.charge(b"account", "2026-11", 9)


def store_texts(folder: Path) -> None:
    with closing(TextStore(folder / "texts.db")) as texts:
        assert texts.since(0) == []


def keep_an_upload(folder: Path) -> None:
    with closing(UploadStore(folder / "uploads.db")) as uploads:
        assert uploads.get(uploads.add(b"picture", "ab")) == b"picture"


def note_a_call(folder: Path) -> None:
    with Journal(folder / "journal.jsonl") as journal:
        journal.record(JournalEntry(at=0, ms=1, method="GET", path="/", status=200, trace_id=""))


WRITERS: dict[str, Callable[[Path], None]] = {
    "queries.db": log_a_search,
    "quota.db": count_a_query,
    "texts.db": store_texts,
    "uploads.db": keep_an_upload,
    "journal.jsonl": note_a_call,
    "lock": build,
    STAGING: build,
}


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Return the folder of an index that isn't there yet, beside a catalogue."""
    fill(tmp_path / "pictures", 3)
    return tmp_path / "index"


@pytest.mark.parametrize("mask", [0o000, 0o022])
def test_nobody_else_reads_what_the_service_keeps(index: Path, mask: int) -> None:
    """Whatever the umask is: the index, and what is kept in its folder."""
    with umask(mask):
        build(index)
        for name, write in WRITERS.items():
            write(index)
            assert (index / name).exists() != (name == STAGING)  # it ends with the build
    assert len([path for path in index.rglob("*") if path.is_file()]) > 8
    assert not open_to_others(index)


@pytest.mark.parametrize(("name", "write"), WRITERS.items(), ids=WRITERS)
def test_a_planted_link_is_refused(
    index: Path, name: str, write: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one sentence that names it."""
    index.mkdir()
    (target := index.parent / "target").write_bytes(b"precious")
    plant(index / name, target, monkeypatch)
    with pytest.raises(ServiceError, match=f"{name} is a symbolic link, which is not followed"):
        write(index)
    assert target.read_bytes() == b"precious"
