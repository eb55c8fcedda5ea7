"""What was read is kept by content, and survives the process."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ServiceError
from pipeline.service.engine.pictures import WHOLE
from pipeline.service.text import store as store_module
from pipeline.service.text.store import TextStore
from pipeline.service.text.values import Line, Region, Text, Word

NUMBERS = st.floats(0, 1)
POINTS = st.tuples(NUMBERS, NUMBERS)
QUADS = st.tuples(POINTS, POINTS, POINTS, POINTS)
WORDS = st.builds(Word, text=st.text(st.characters(codec="utf-8")), box=QUADS)
LINES = st.builds(Line, text=st.text(st.characters(codec="utf-8")), box=QUADS, words=st.tuples(WORDS))
TEXTS = st.builds(Text, regions=st.tuples(st.builds(Region, box=QUADS, lines=st.tuples(LINES))))
HALF = (0.0, 0.0, 0.5, 1.0)


def text_of(words: str) -> Text:
    box = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    return Text(regions=(Region(box=box, lines=(Line(text=words, box=box, words=()),)),))


@given(TEXTS)
def test_what_is_put_comes_back(text: Text) -> None:
    """Regions, lines, words and boxes are the same."""
    store = TextStore()
    store.put("ab", WHOLE, text)
    assert store.get("ab") == text
    store.close()


def test_texts_survive_and_parts_are_kept_apart(tmp_path: Path) -> None:
    """The next process finds them; a part of a picture is not the whole."""
    store = TextStore(tmp_path / "texts.db")
    store.put("ab", WHOLE, text_of("all of it"))
    store.put("ab", HALF, text_of("half"))
    store.put("cd", WHOLE, Text())
    store.close()
    again = TextStore(tmp_path / "texts.db")
    assert (again.get("ab"), again.get("ab", HALF)) == (text_of("all of it"), text_of("half"))
    assert (again.get("cd"), again.get("ef")) == (Text(), None)
    assert again.since(0) == [(1, "ab", "all of it")]
    assert again.since(1) == []
    again.close()


def test_what_another_version_read_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new model's texts are not mixed with an old one's."""
    store = TextStore(tmp_path / "texts.db")
    store.put("ab", WHOLE, text_of("old"))
    store.close()
    monkeypatch.setattr(store_module, "ALGORITHM", "other")
    newer = TextStore(tmp_path / "texts.db")
    assert newer.get("ab") is None
    newer.close()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    """The user learns which file to delete."""
    (tmp_path / "texts.db").write_bytes(b"no database " * 1000)
    with pytest.raises(ServiceError, match=r"texts\.db: the texts can't be kept there"):
        TextStore(tmp_path / "texts.db")


def test_a_full_disk_costs_the_keeping_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What can't be written is said in the log; the answer is not lost."""
    store = TextStore(tmp_path / "texts.db")
    with sqlite3.connect(tmp_path / "texts.db") as other:
        other.execute("DROP TABLE texts")
    other.close()
    store.put("ab", WHOLE, text_of("lost"))
    assert "can't be kept" in caplog.text
    store.close()


def test_of_what_passes_the_newest_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What belongs to the catalogue stays, however old it is."""
    monkeypatch.setattr(store_module, "MOST_PASSING", 2)
    store = TextStore(tmp_path / "texts.db")
    store.put("own", WHOLE, text_of("own"))
    for name in ("a", "b", "b", "c", "d"):
        store.put(name, WHOLE, text_of(name), lasting=False)
    assert [store.get(name) is not None for name in ("own", "a", "b", "c", "d")] == [True, False, False, True, True]
    store.close()


def test_a_store_that_fails_forgets(caplog: pytest.LogCaptureFixture) -> None:
    """A picture whose text can't be had is one that has not been read yet; the log says why."""
    store = TextStore()
    store.close()
    assert store.get("ab") is None
    assert "can't be had" in caplog.text
