"""Text is stored by the content of its picture, and survives the process."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ServiceError
from pipeline.service.engine.pictures import WHOLE
from pipeline.service.text import store as store_module
from pipeline.service.text.recognised_text import RecognisedText, TextLine, TextRegion, TextWord
from pipeline.service.text.store import TextStore

NUMBERS = st.floats(0, 1)
POINTS = st.tuples(NUMBERS, NUMBERS)
QUADS = st.tuples(POINTS, POINTS, POINTS, POINTS)
WORDS = st.builds(TextWord, text=st.text(st.characters(codec="utf-8")), box=QUADS)
LINES = st.builds(TextLine, text=st.text(st.characters(codec="utf-8")), box=QUADS, words=st.tuples(WORDS))
TEXTS = st.builds(RecognisedText, regions=st.tuples(st.builds(TextRegion, box=QUADS, lines=st.tuples(LINES))))
HALF = (0.0, 0.0, 0.5, 1.0)


def text_of(words: str) -> RecognisedText:
    box = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    return RecognisedText(regions=(TextRegion(box=box, lines=(TextLine(text=words, box=box, words=()),)),))


@given(TEXTS)
def test_a_stored_text_is_returned_unchanged(text: RecognisedText) -> None:
    """Regions, lines, words and boxes are the same."""
    store = TextStore()
    store.put("ab", WHOLE, text)
    assert store.get("ab") == text
    store.close()


def test_texts_survive_and_parts_are_separate(tmp_path: Path) -> None:
    """The next process has them; a part of a picture is not the whole."""
    store = TextStore(tmp_path / "texts.db")
    store.put("ab", WHOLE, text_of("all of it"))
    store.put("ab", HALF, text_of("half"))
    store.put("cd", WHOLE, RecognisedText())
    store.close()
    again = TextStore(tmp_path / "texts.db")
    assert (again.get("ab"), again.get("ab", HALF)) == (text_of("all of it"), text_of("half"))
    assert (again.get("cd"), again.get("ef")) == (RecognisedText(), None)
    assert again.since(0) == [(1, "ab", "all of it")]
    assert again.since(1) == []
    again.close()


def test_texts_of_another_version_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The texts of a new model are not mixed with those of an old one."""
    store = TextStore(tmp_path / "texts.db")
    store.put("ab", WHOLE, text_of("old"))
    store.close()
    monkeypatch.setattr(store_module, "ALGORITHM", "other")
    newer = TextStore(tmp_path / "texts.db")
    assert newer.get("ab") is None
    newer.close()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    """The error says which file to delete."""
    (tmp_path / "texts.db").write_bytes(b"no database " * 1000)
    with pytest.raises(ServiceError, match=r"texts\.db: the texts can't be stored there"):
        TextStore(tmp_path / "texts.db")


def test_a_full_disk_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A text that can't be written is reported in the log, and the request does not fail."""
    store = TextStore(tmp_path / "texts.db")
    with sqlite3.connect(tmp_path / "texts.db") as other:
        other.execute("DROP TABLE texts")
    other.close()
    store.put("ab", WHOLE, text_of("lost"))
    assert "can't be stored" in caplog.text
    store.close()


def test_of_temporary_texts_the_newest_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A permanent text stays, however old it is."""
    monkeypatch.setattr(store_module, "MAX_TEMPORARY", 2)
    store = TextStore(tmp_path / "texts.db")
    store.put("own", WHOLE, text_of("own"))
    for name in ("a", "b", "b", "c", "d"):
        store.put(name, WHOLE, text_of(name), permanent=False)
    assert [store.get(name) is not None for name in ("own", "a", "b", "c", "d")] == [True, False, False, True, True]
    store.close()


def test_a_store_that_fails_has_no_text(caplog: pytest.LogCaptureFixture) -> None:
    """A text that can't be read is treated as missing, and the log says why."""
    store = TextStore()
    store.close()
    assert store.get("ab") is None
    assert "a stored text can't be read" in caplog.text
