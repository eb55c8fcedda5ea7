"""Each picture is read once; what can't be read says why; the catalogue is read while nobody asks."""

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

from pipeline.service.engine.engine import open_engine
from pipeline.service.engine.pictures import WHOLE
from pipeline.service.findings import BadPicture, CatalogueConfig, Crop, Engine
from pipeline.service.refusals import Refused
from pipeline.service.text.reader import Reader, add_text
from pipeline.service.text.readings import Part
from pipeline.service.text.store import TextStore
from pipeline.service.text.values import Line, Region, Text
from pipeline.service.text.workers import Unread, Workers
from tests.sheets import CARDS, SIGNS, png

CARD = png(CARDS[0].draw())
DIGEST = sha256(CARD).hexdigest()
BOX = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


class Told(Workers):
    """Workers that say what they are told to, and keep what they were given."""

    def __init__(self, *says: Text | Unread) -> None:
        super().__init__(1)
        self._says = list(says)
        self.given: list[bytes] = []

    async def read(self, picture: bytes, crop: Crop) -> Text | Unread:
        """Say it; the last one again and again."""
        self.given.append(picture)
        return self._says.pop(0) if len(self._says) > 1 else self._says[0]


class Stuck(Workers):
    """Workers that never finish."""

    def __init__(self) -> None:
        super().__init__(1)
        self.begun, self.ended = anyio.Event(), anyio.Event()

    async def read(self, picture: bytes, crop: Crop) -> Text | Unread:
        """Hang until cancelled."""
        self.begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.ended.set()
        return Text()


Ask = Callable[..., Text | Unread]


@contextmanager
def reading(portal: BlockingPortal, workers: Workers, path: Path | None = None) -> Iterator[tuple[Reader, Ask]]:
    """Open a reader; return it, and the function that asks it."""
    reader = portal.call(Reader, TextStore(path), workers)

    def ask(open_bytes: Callable[[], bytes] = lambda: CARD, crop: Crop = WHOLE) -> Text | Unread:
        return portal.call(reader.read, Part(digest=DIGEST, crop=crop), open_bytes)

    with portal.wrap_async_context_manager(reader.open()):
        yield reader, ask


def text_of(*words: str) -> Text:
    return Text(regions=(Region(box=BOX, lines=tuple(Line(text=each, box=BOX, words=()) for each in words)),))


def test_a_picture_is_read_once(portal: BlockingPortal) -> None:
    """The second time, nothing is opened; a part is another picture."""
    told = Told(text_of("a card"))
    with reading(portal, told) as (_, ask):
        for crop in (WHOLE, WHOLE, (0.0, 0.0, 0.5, 1.0)):
            assert ask(crop=crop) == text_of("a card")
    assert told.given == [CARD, CARD]


def test_trouble_that_may_pass_is_no_answer_until_it_has_come_three_times(portal: BlockingPortal) -> None:
    """The caller is asked to come back; then the reason is told, and not kept as if it were the picture's text."""
    told = Told(Unread(reason="too slow", again=True))
    with reading(portal, told) as (_, ask):
        for _ in range(2):  # whoever is given up on is tried anew when it is asked about again
            for _ in range(2):
                with pytest.raises(Refused) as refused:
                    ask()
                assert (refused.value.refusal.status, refused.value.refusal.more_details) == (503, "too slow")
                assert refused.value.refusal.headers["Retry-After"] == "5"
            assert ask() == Unread(reason="too slow")
    assert len(told.given) == 6


def test_trouble_that_passes_is_forgotten(portal: BlockingPortal) -> None:
    """A picture that is read after all begins without a past."""
    trouble = Unread(reason="killed", again=True)
    with reading(portal, Told(trouble, trouble, text_of("a card"))) as (_, ask):
        for _ in range(2):
            with pytest.raises(Refused):
                ask()
        assert ask() == text_of("a card")


def test_a_picture_that_changed_or_is_gone_is_unread(portal: BlockingPortal) -> None:
    """The text of another picture is not told."""

    def gone() -> bytes:
        raise BadPicture("damaged", "the file can't be read (No such file or directory)")

    with reading(portal, Told(text_of("other"))) as (_, ask):
        for open_bytes, why in ((lambda: b"other", "has changed"), (gone, "No such file")):
            read = ask(open_bytes)
            assert isinstance(read, Unread)
            assert why in read.reason


def test_a_bug_in_reading_costs_one_answer(portal: BlockingPortal, caplog: pytest.LogCaptureFixture) -> None:
    """The log has the traceback; those who ask about other pictures are still answered."""

    class Broken(Told):
        async def read(self, picture: bytes, crop: Crop) -> Text | Unread:
            await super().read(picture, crop)
            if len(self.given) == 1:
                raise RuntimeError("unexpected")
            return text_of("a card")

    with reading(portal, Broken(Text())) as (_, ask):
        with pytest.raises(Refused):
            ask()
        assert ask() == text_of("a card")
    assert "RuntimeError: unexpected" in caplog.text


def test_without_the_packages_every_picture_says_so(portal: BlockingPortal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason names the package and the way out; nothing is started or opened."""
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    told = Told(text_of("never"))
    with reading(portal, told) as (_, ask):
        read = ask()
    assert isinstance(read, Unread)
    assert "without the package rapidocr" in read.reason
    assert told.given == []


@pytest.fixture
def catalogue(tmp_path: Path) -> Engine:
    """Index two written pictures, one of them under two ids, and a row without a picture."""
    (tmp_path / "card.png").write_bytes(CARD)
    (tmp_path / "sign.png").write_bytes(png(SIGNS[0].draw()))
    with (tmp_path / "list.csv").open("w", newline="") as file:
        rows = [("a", "card.png"), ("b", "card.png"), ("c", "sign.png"), ("d", "gone.png")]
        csv.writer(file).writerows([("id", "image"), *rows])
    return open_engine(CatalogueConfig(path=tmp_path / "list.csv"), tmp_path / "index")


async def read_all(reader: Reader, engine: Engine) -> None:
    """Read ahead, to the end."""
    async with anyio.create_task_group() as tasks:
        reader._tasks = tasks  # one that waits for it
        reader.read_ahead(engine)


def test_the_catalogue_is_read_ahead_and_resumed(
    portal: BlockingPortal, workers: Workers, catalogue: Engine, tmp_path: Path
) -> None:
    """Every content is read once and kept at once: a service that starts again has nothing left to do."""
    with reading(portal, workers, tmp_path / "texts.db") as (reader, _):
        portal.call(read_all, reader, catalogue)
        assert [words for _, _, words in reader.store.since(0)] == [CARDS[0].text, SIGNS[0].text]
    told = Told(text_of("again"))
    with reading(portal, told, tmp_path / "texts.db") as (later, _):
        portal.call(read_all, later, catalogue)
    assert told.given == []


def test_reading_ahead_ends_before_the_store_is_closed(portal: BlockingPortal, catalogue: Engine) -> None:
    """The end of the service drops the picture that is being read, whoever wanted it; later calls begin nothing."""
    stuck = portal.call(Stuck)
    with reading(portal, stuck) as (reader, _):
        portal.call(reader.read_ahead, catalogue)
        portal.call(stuck.begun.wait)
    assert stuck.ended.is_set()
    portal.call(reader.read_ahead, catalogue)


def test_trouble_with_the_catalogue_ends_reading_ahead_alone(
    portal: BlockingPortal, catalogue: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One line says so; those who ask are still answered."""

    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(catalogue, "items", fail)
    with reading(portal, Told(text_of("a card"))) as (reader, ask):
        portal.call(read_all, reader, catalogue)
        assert ask() == text_of("a card")
    assert [record.getMessage() for record in caplog.records] == [
        "the catalogue's pictures are not read ahead any more: disk I/O error"
    ]


def test_text_takes_the_place_of_the_reason(catalogue: Engine) -> None:
    """What is written, with its addresses, or why it can't be known: never both."""
    findings = catalogue.look(CARD)
    read = add_text(findings, text_of("888 555 1212"))
    assert read.text is not None
    assert [uri.address for uri in read.uris] == ["tel:888%20555%201212"]
    assert {"text", "uris"}.isdisjoint(kind for kind, _ in read.unavailable)
    unread = add_text(findings, Unread(reason="too slow"))
    assert dict(unread.unavailable) | {"text": "too slow", "uris": "too slow"} == dict(unread.unavailable)
    assert unread.text is None
