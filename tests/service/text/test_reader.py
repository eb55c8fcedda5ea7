"""Each picture is read once; what can't be read says why; the catalogue is read while nobody asks."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal

from pipeline.service.engine import open_engine
from pipeline.service.findings import BadPicture, CatalogueConfig, Engine
from pipeline.service.pictures import WHOLE
from pipeline.service.text.reader import Reader, add_text
from pipeline.service.text.store import TextStore
from pipeline.service.text.values import Line, Region, Text
from pipeline.service.text.workers import Unread, Workers
from tests.sheets import CARDS, SIGNS, png

CARD = png(CARDS[0].draw())
DIGEST = sha256(CARD).hexdigest()
BOX = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


class Told(Workers):
    """Workers that say what they are told to, and keep what they were given."""

    def __init__(self, says: Text | Unread) -> None:
        super().__init__(1)
        self._says = says
        self.given: list[bytes] = []

    async def read(
        self, picture: bytes, crop: tuple[float, float, float, float], *, shield: bool = True
    ) -> Text | Unread:
        """Say it."""
        self.given.append(picture)
        return self._says


def text_of(*words: str) -> Text:
    return Text(regions=(Region(box=BOX, lines=tuple(Line(text=each, box=BOX, words=()) for each in words)),))


def opened(picture: bytes) -> Callable[[], bytes]:
    return lambda: picture


def test_a_picture_is_read_once(portal: BlockingPortal) -> None:
    """The second time, nothing is opened; a part is another picture."""
    told = Told(text_of("a card"))
    reader = portal.call(Reader, TextStore(), told)
    for crop in (None, None, WHOLE, (0.0, 0.0, 0.5, 1.0)):
        assert portal.call(reader.read, DIGEST, crop, opened(CARD)) == text_of("a card")
    assert told.given == [CARD, CARD]
    reader.store.close()


def test_what_was_not_read_in_time_is_asked_again(portal: BlockingPortal) -> None:
    """A reason is not kept as if it were the picture's text."""
    told = Told(Unread(reason="too slow"))
    reader = portal.call(Reader, TextStore(), told)
    assert portal.call(reader.read, DIGEST, None, opened(CARD)) == Unread(reason="too slow")
    assert portal.call(reader.read, DIGEST, None, opened(CARD)) == Unread(reason="too slow")
    assert len(told.given) == 2
    reader.store.close()


def test_a_picture_that_changed_or_is_gone_is_unread(portal: BlockingPortal) -> None:
    """The text of another picture is not told."""

    def gone() -> bytes:
        raise BadPicture("damaged", "the file can't be read (No such file or directory)")

    reader = portal.call(Reader, TextStore(), Told(text_of("other")))
    for open_bytes, why in ((opened(b"other"), "has changed"), (gone, "No such file")):
        read = portal.call(reader.read, DIGEST, None, open_bytes)
        assert isinstance(read, Unread)
        assert why in read.reason
    reader.store.close()


def test_without_the_packages_every_picture_says_so(portal: BlockingPortal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason names the package and the way out; nothing is started or opened."""
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    told = Told(text_of("never"))
    reader = portal.call(Reader, TextStore(), told)
    read = portal.call(reader.read, DIGEST, None, opened(CARD))
    assert isinstance(read, Unread)
    assert "without the package rapidocr" in read.reason
    assert told.given == []
    reader.store.close()


@pytest.fixture
def catalogue(tmp_path: Path) -> Engine:
    """Index two written pictures, one of them under two ids, and a row without a picture."""
    (tmp_path / "card.png").write_bytes(CARD)
    (tmp_path / "sign.png").write_bytes(png(SIGNS[0].draw()))
    with (tmp_path / "list.csv").open("w", newline="") as file:
        rows = [("a", "card.png"), ("b", "card.png"), ("c", "sign.png"), ("d", "gone.png")]
        csv.writer(file).writerows([("id", "image"), *rows])
    return open_engine(CatalogueConfig(path=tmp_path / "list.csv"), tmp_path / "index")


def test_the_catalogue_is_read_ahead_and_resumed(
    portal: BlockingPortal, workers: Workers, catalogue: Engine, tmp_path: Path
) -> None:
    """Every content is read once and kept at once: a service that starts again has nothing left to do."""
    reader = portal.call(Reader, TextStore(tmp_path / "texts.db"), workers)
    portal.call(reader.read_ahead, catalogue)
    assert [words for _, _, words in reader.store.since(0)] == [CARDS[0].text, SIGNS[0].text]
    reader.store.close()
    told = Told(text_of("again"))
    later = portal.call(Reader, TextStore(tmp_path / "texts.db"), told)
    portal.call(later.read_ahead, catalogue)
    assert told.given == []
    later.store.close()


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
