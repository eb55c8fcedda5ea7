"""Answers that were paid for, used again: read with the requests they answer, as old as they are."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from pipeline.commands.renormalise import renormalise
from pipeline.config import Config
from pipeline.local.backend import make_provider
from pipeline.records import Problem
from pipeline.runner.job import run
from pipeline.sink.job_files import open_job
from pipeline.sink.output_lines import timestamp
from pipeline.state.ledger import State
from tests.running import KEY, KEY_ENV, draw, lines_of, load, write_config, write_manifest

DAY = 86_400.0
REFUSED_MARKET = "fr-FR"
REFUSAL = {
    "_type": "ErrorResponse",
    "errors": [{"code": "InvalidRequest", "subCode": "ParameterInvalidValue", "message": "No.", "parameter": "mkt"}],
}
# Neither answer names related searches: that they need a query is known from the request alone.
ANSWERS = {
    "All": {"_type": "ImageInsights", "imageInsightsToken": "t", "imageTags": {"value": [{"name": "drawn"}]}},
    "RecognizedEntities": {"_type": "ImageInsights", "unavailable": [{"kind": "entities", "reason": "none known"}]},
}


async def answer(request: web.Request) -> web.Response:
    """Answer a call to /images/details, but refuse one market."""
    if request.query.get("mkt") == REFUSED_MARKET:
        return web.json_response(REFUSAL, status=400)
    return web.json_response(ANSWERS[request.query["modules"]])


@pytest.fixture
async def endpoint(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """Run a service with a details endpoint on a loopback port."""
    monkeypatch.setenv(KEY_ENV, KEY)
    app = web.Application()
    app.router.add_post("/v7.0/images/details", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("/v7.0"))


def job(folder: Path, endpoint: str, **row: str) -> Config:
    """Return the config of a job of one row, which takes two calls."""
    draw(folder / "p.png", 1)
    manifest = write_manifest(folder / "manifest.csv", [{"id": "r", "image": "p.png", **row}])
    asked: dict[str, object] = {"ask": "details", "modules": ["All", "RecognizedEntities"]}
    return load(write_config(folder / "job.toml", manifest, endpoint, provider=asked))


async def test_a_details_record_renormalises_to_the_identical_record(tmp_path: Path, endpoint: str) -> None:
    """What a record owes to its requests, not to their answers, is the same when it is read again."""
    config = job(tmp_path, endpoint)
    assert (await run(config)).traffic.sends == 2
    insights = tmp_path / "out" / "insights.jsonl"
    before = insights.read_bytes()
    assert [item["kind"] for item in lines_of(insights)[0]["unavailable"]] == ["related_searches", "entities"]
    counts = await renormalise(config)
    assert (counts.rebuilt, counts.kept) == (1, 0)
    assert insights.read_bytes() == before


async def test_a_stored_refusal_means_what_it_meant_in_the_run(tmp_path: Path, endpoint: str) -> None:
    """A refused market is the row's fault where the row named it: its request says so, and is stored."""
    config = job(tmp_path, endpoint, market=REFUSED_MARKET)
    assert (await run(config)).exit_code == 1
    with open_job(tmp_path / "out") as opened:
        (row_key,) = opened.state.known_rows.unseen([State.FAILED])
        (fingerprint,) = opened.state.known_rows.fingerprints(row_key)
        exchange = opened.state.answers.exchange(fingerprint)
    assert exchange is not None
    assert exchange.request is not None
    outcome = make_provider(config).read(exchange.request, exchange.answer)
    assert isinstance(outcome, Problem)
    assert (outcome.kind, outcome.http_status) == ("row", 400)


@pytest.mark.parametrize("older", ["first", "last"])
async def test_a_row_is_as_old_as_its_oldest_answer(tmp_path: Path, endpoint: str, older: str) -> None:
    """One of a row's two answers is ten days old: the record is dated by it, and a refresh asks for it again."""
    config = job(tmp_path, endpoint)
    await run(config)
    out = tmp_path / "out"
    with closing(sqlite3.connect(out / "state.db", isolation_level=None)) as database:
        which = "min" if older == "first" else "max"
        database.execute(
            f"UPDATE answers SET asked_at = asked_at - ? WHERE rowid = (SELECT {which}(rowid) FROM answers)",
            (10 * DAY,),
        )
        oldest = database.execute("SELECT min(asked_at) FROM answers").fetchone()[0]
    (out / "insights.jsonl").unlink()
    assert (await run(config)).traffic.sends == 0
    assert lines_of(out / "insights.jsonl")[0]["asked_at"] == timestamp(oldest)
    refreshing = config.model_copy(update={"output": config.output.model_copy(update={"refresh": 5 * DAY})})
    assert (await run(refreshing)).traffic.sends == 1
