"""Each picture is read once; failures have a reason; the catalogue is read ahead while the workers are idle."""

from __future__ import annotations

import csv
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import anyio
import pytest
from anyio.from_thread import BlockingPortal

from pipeline.service.engine.decoders import Decoders
from pipeline.service.engine.engine import open_engine
from pipeline.service.engine.pictures import WHOLE
from pipeline.service.findings import BadPicture, CatalogueConfig, Crop, Engine
from pipeline.service.refusals import Refused
from pipeline.service.text.read_queue import PicturePart, ReadQueue
from pipeline.service.text.reader import TextReader, add_text
from pipeline.service.text.recognised_text import RecognisedText, TextLine, TextRegion
from pipeline.service.text.store import TextStore
from pipeline.service.text.workers import OcrWorkers, ReadFailure
from tests.sheets import CARDS, SIGNS, png

CARD = png(CARDS[0].draw())
DIGEST = sha256(CARD).hexdigest()
BOX = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


class ScriptedWorkers(OcrWorkers):
    """Workers that return given results in order, the last one again and again, and keep the pictures they got."""

    def __init__(self, *results: RecognisedText | ReadFailure) -> None:
        super().__init__(1)
        self._results = list(results)
        self.pictures: list[bytes] = []

    async def read(self, picture: bytes, crop: Crop, caller: str = "") -> RecognisedText | ReadFailure:
        """Return the next result."""
        self.pictures.append(picture)
        return self._results.pop(0) if len(self._results) > 1 else self._results[0]


class HangingWorkers(OcrWorkers):
    """Workers that never finish."""

    def __init__(self) -> None:
        super().__init__(1)
        self.started, self.ended = anyio.Event(), anyio.Event()

    async def read(self, picture: bytes, crop: Crop, caller: str = "") -> RecognisedText | ReadFailure:
        """Hang until cancelled."""
        self.started.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.ended.set()
        return RecognisedText()


ReadPart = Callable[..., RecognisedText | ReadFailure]


@contextmanager
def open_reader(
    portal: BlockingPortal, workers: OcrWorkers, path: Path | None = None
) -> Iterator[tuple[TextReader, ReadPart]]:
    """Open a reader; return it, and a function that reads a part of the card with it."""
    reader = portal.call(TextReader, TextStore(path), workers)

    def read(open_bytes: Callable[[], bytes] = lambda: CARD, crop: Crop = WHOLE) -> RecognisedText | ReadFailure:
        return portal.call(reader.read, PicturePart(sha256=DIGEST, crop=crop), open_bytes)

    with portal.wrap_async_context_manager(reader.open()):
        yield reader, read


def text_of(*lines: str) -> RecognisedText:
    region = TextRegion(box=BOX, lines=tuple(TextLine(text=line, box=BOX, words=()) for line in lines))
    return RecognisedText(regions=(region,))


def test_a_picture_is_read_once(portal: BlockingPortal) -> None:
    """The second time, nothing is opened; a part counts as another picture."""
    workers = ScriptedWorkers(text_of("a card"))
    with open_reader(portal, workers) as (_, read):
        for crop in (WHOLE, WHOLE, (0.0, 0.0, 0.5, 1.0)):
            assert read(crop=crop) == text_of("a card")
    assert workers.pictures == [CARD, CARD]


async def test_a_text_that_was_stored_in_the_meantime_is_not_read_again() -> None:
    """A caller that found no text in the store, and comes after the read of another has ended, gets that text."""
    store, workers = TextStore(), ScriptedWorkers(text_of("a card"))
    queue, part = ReadQueue(workers, store), PicturePart(sha256=DIGEST, crop=WHOLE)
    async with queue.open():
        for _ in range(2):
            assert await queue.read(part, CARD) == text_of("a card")
    store.close()
    assert workers.pictures == [CARD]


def test_a_retryable_failure_becomes_final_at_the_third_attempt(portal: BlockingPortal) -> None:
    """Two requests are refused with a Retry-After; the third gets the reason, which is not stored as the text."""
    workers = ScriptedWorkers(ReadFailure(reason="too slow", retryable=True))
    with open_reader(portal, workers) as (_, read):
        for _ in range(2):  # after the reason was sent, the next request starts again
            for _ in range(2):
                with pytest.raises(Refused) as refused:
                    read()
                assert (refused.value.refusal.status, refused.value.refusal.more_details) == (503, "too slow")
                assert refused.value.refusal.headers["Retry-After"] == "5"
            assert read() == ReadFailure(reason="too slow")
    assert len(workers.pictures) == 6


def test_a_success_resets_the_failures(portal: BlockingPortal) -> None:
    """A picture whose third attempt succeeds has its text."""
    failure = ReadFailure(reason="killed", retryable=True)
    with open_reader(portal, ScriptedWorkers(failure, failure, text_of("a card"))) as (_, read):
        for _ in range(2):
            with pytest.raises(Refused):
                read()
        assert read() == text_of("a card")


def test_a_picture_that_changed_or_is_gone_is_not_read(portal: BlockingPortal) -> None:
    """The text of another picture is never returned."""

    def gone() -> bytes:
        raise BadPicture("damaged", "the file can't be read (No such file or directory)")

    with open_reader(portal, ScriptedWorkers(text_of("other"))) as (_, read):
        for open_bytes, reason in ((lambda: b"other", "has changed"), (gone, "No such file")):
            result = read(open_bytes)
            assert isinstance(result, ReadFailure)
            assert reason in result.reason


def test_a_bug_in_the_workers_costs_one_request(portal: BlockingPortal, caplog: pytest.LogCaptureFixture) -> None:
    """The log has the traceback, and the next request is answered."""

    class BrokenWorkers(ScriptedWorkers):
        async def read(self, picture: bytes, crop: Crop, caller: str = "") -> RecognisedText | ReadFailure:
            await super().read(picture, crop)
            if len(self.pictures) == 1:
                raise RuntimeError("unexpected")
            return text_of("a card")

    with open_reader(portal, BrokenWorkers(RecognisedText())) as (_, read):
        with pytest.raises(Refused):
            read()
        assert read() == text_of("a card")
    assert "RuntimeError: unexpected" in caplog.text


def test_without_the_packages_every_picture_has_the_reason(
    portal: BlockingPortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason names the package and how to install it; nothing is started or opened."""
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    workers = ScriptedWorkers(text_of("never"))
    with open_reader(portal, workers) as (_, read):
        result = read()
    assert isinstance(result, ReadFailure)
    assert "without the package rapidocr" in result.reason
    assert workers.pictures == []


@pytest.fixture
def catalogue(tmp_path: Path, decoders: Decoders) -> Engine:
    """Index two pictures with text, one of them under two ids, and a row without a picture."""
    (tmp_path / "card.png").write_bytes(CARD)
    (tmp_path / "sign.png").write_bytes(png(SIGNS[0].draw()))
    with (tmp_path / "list.csv").open("w", newline="") as file:
        rows = [("a", "card.png"), ("b", "card.png"), ("c", "sign.png"), ("d", "gone.png")]
        csv.writer(file).writerows([("id", "image"), *rows])
    return open_engine(CatalogueConfig(path=tmp_path / "list.csv"), tmp_path / "index", decoders)


async def read_all(reader: TextReader, engine: Engine) -> None:
    """Read ahead, and wait until all pictures are read."""
    async with anyio.create_task_group() as tasks:
        reader._tasks = tasks  # a task group whose end can be waited for
        reader.read_ahead(engine)


def test_the_catalogue_is_read_ahead_and_resumed(
    portal: BlockingPortal, workers: OcrWorkers, catalogue: Engine, tmp_path: Path
) -> None:
    """Every content is read once and stored at once: a service that starts again has nothing left to do."""
    with open_reader(portal, workers, tmp_path / "texts.db") as (reader, _):
        portal.call(read_all, reader, catalogue)
        assert [text for _, _, text in reader.store.since(0)] == [CARDS[0].text, SIGNS[0].text]
    scripted = ScriptedWorkers(text_of("again"))
    with open_reader(portal, scripted, tmp_path / "texts.db") as (later, _):
        portal.call(read_all, later, catalogue)
    assert scripted.pictures == []


def test_reading_ahead_ends_before_the_store_is_closed(portal: BlockingPortal, catalogue: Engine) -> None:
    """The end of the service cancels the read in progress, and later calls start nothing."""
    hanging = portal.call(HangingWorkers)
    with open_reader(portal, hanging) as (reader, _):
        portal.call(reader.read_ahead, catalogue)
        portal.call(hanging.started.wait)
    assert hanging.ended.is_set()
    portal.call(reader.read_ahead, catalogue)


def test_an_error_of_the_catalogue_ends_only_reading_ahead(
    portal: BlockingPortal, catalogue: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One line of the log has the error; requests are still answered."""

    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(catalogue, "items", fail)
    with open_reader(portal, ScriptedWorkers(text_of("a card"))) as (reader, read):
        portal.call(read_all, reader, catalogue)
        assert read() == text_of("a card")
    assert [record.getMessage() for record in caplog.records] == [
        "the service stops reading the catalogue's pictures ahead: disk I/O error"
    ]


def test_findings_have_the_text_or_the_reason(catalogue: Engine) -> None:
    """A text comes with its addresses; a failure is the reason why both are unavailable."""
    findings = catalogue.inspect(CARD)
    with_text = add_text(findings, text_of("888 555 1212"))
    assert with_text.text is not None
    assert [uri.address for uri in with_text.uris] == ["tel:888%20555%201212"]
    assert {"text", "uris"}.isdisjoint(kind for kind, _ in with_text.unavailable)
    failed = add_text(findings, ReadFailure(reason="too slow"))
    assert dict(failed.unavailable) | {"text": "too slow", "uris": "too slow"} == dict(failed.unavailable)
    assert failed.text is None
