"""The log of searches: counts, related and trending searches, and a file that breaks."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.errors import ServiceError
from pipeline.service.search.query_log import KEPT_DAYS, QueryLog

if TYPE_CHECKING:
    from tests.service.serving import FixedEngine, Served


def test_searches_are_counted_and_deleted(tmp_path: Path) -> None:
    """The most frequent searches trend; after a month they are deleted; a restart keeps the others."""
    today = date(2026, 11, 1)
    log = QueryLog(tmp_path / "queries.db", today=lambda: today)
    for text in ("Mug", "poster", " MUG "):
        log.record(text, [f"{text.strip().lower()}-1", "shared"])
    assert log.trending() == [("mug", "mug-1"), ("poster", "poster-1")]
    assert log.related(["shared"]) == [("mug", "mug-1"), ("poster", "poster-1")]
    assert log.related(["poster-1"]) == [("poster", "poster-1")]
    assert log.related([]) == []
    log.close()
    again = QueryLog(tmp_path / "queries.db", today=lambda: today + timedelta(days=KEPT_DAYS - 1))
    assert len(again.trending()) == 2
    again.close()
    late = QueryLog(tmp_path / "queries.db", today=lambda: today + timedelta(days=KEPT_DAYS))
    assert (late.trending(), late.related(["shared"])) == ([], [])
    late.close()


def test_a_query_log_that_breaks_fails_no_request(
    tmp_path: Path, engine: FixedEngine, start: Callable[..., Served], picture: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Every endpoint continues without it, and the log says why."""
    served = start(engine, query_log=tmp_path / "queries.db")
    with closing(sqlite3.connect(tmp_path / "queries.db")) as other:
        other.executescript("DROP TABLE searches; DROP TABLE found")
    assert served.send("GET", "/v7.0/images/search?q=mug").json["value"]
    assert "the query log can't be used (no such table" in caplog.text
    assert served.send("GET", "/v7.0/images/trending").status == 200
    assert served.visual_search(picture=picture).status == 200


def test_a_query_log_that_can_not_be_opened_is_named(tmp_path: Path) -> None:
    """A file that is no database is an error at the start, with its path."""
    (tmp_path / "queries.db").write_bytes(b"not a database, but long enough to be read as one" * 40)
    with pytest.raises(ServiceError, match=r"queries\.db"):
        QueryLog(tmp_path / "queries.db")
