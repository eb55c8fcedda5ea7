"""Whole jobs against the fake: planned, run, resumed, read again; money, quotas, faults, keys, public URLs."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from pipeline import run
from pipeline.commands.check import check
from pipeline.commands.plan import make_plan
from pipeline.commands.renormalise import renormalise
from pipeline.commands.retry_failed import retry_failed
from pipeline.config import Config
from pipeline.report.run_json import RUN_FILE
from pipeline.sink.job_files import FAILURES, INSIGHTS
from tests.conftest import PROJECT
from tests.providers.lens.conftest import PUBLIC, MakeJob
from tests.providers.lens.fake_serpapi import KEY, OUT_OF_SEARCHES, FakeSerpApi
from tests.running import draw, lines_of, load

TYPES = ["visual_matches", "products", "exact_matches"]


def records(config: Config) -> dict[str, Any]:
    return {record["id"]: record for record in lines_of(Path(config.output.dir, INSIGHTS))}


def failures(config: Config) -> dict[str, Any]:
    return {failure["id"]: failure for failure in lines_of(Path(config.output.dir, FAILURES))}


def whole(config: Config) -> bytes:
    return Path(config.output.dir, INSIGHTS).read_bytes()


def run_json(config: Config) -> Any:
    return orjson.loads(Path(config.output.dir, RUN_FILE).read_bytes())


async def test_the_whole_road(job: MakeJob, serpapi_fake: FakeSerpApi) -> None:
    """Planned by the price, run with three searches a row, resumed without one, read again from what is stored."""
    config = job(2, provider={"types": TYPES})
    plan = make_plan(config)
    assert (plan.calls, round(plan.cost, 6), plan.further) == (6, 0.09, 0)
    report = await run(config)
    assert (report.exit_code, report.tally.ok, len(serpapi_fake.searches)) == (0, 2, 6), report.summary()
    assert serpapi_fake.account_calls == 1
    assert Counter(search["query"]["type"] for search in serpapi_fake.searches) == dict.fromkeys(TYPES, 2)
    assert {search["query"]["url"] for search in serpapi_fake.searches} == {f"{PUBLIC}/p0.png", f"{PUBLIC}/p1.png"}

    record = records(config)["r1"]
    assert record["sent"] == {"form": "url"}
    assert (record["source"]["path"], record["source"]["width"]) == ("p1.png", 64)
    assert (record["calls"]["count"], len(record["calls"]["trace_ids"])) == (3, 3)
    assert record["calls"]["usage"] == {"units": dict.fromkeys(TYPES, 1), "cost": 0.045, "currency": "USD"}
    assert len(record["similar_images"]["items"]) == 3
    assert len(record["similar_products"]["items"]) == 2
    assert len(record["pages"]) == 2
    assert [offer["price"] for offer in record["offers"]] == [361]

    written = run_json(config)
    assert {used["feature"]: (used["units"], used["cost"]) for used in written["usage"]} == dict.fromkeys(
        TYPES, (2, 0.03)
    )
    before = whole(config)
    again = await run(config)
    assert (again.traffic.sends, again.tally.done_before, make_plan(config).calls) == (0, 2, 0)
    assert (await renormalise(config)).rebuilt == 2
    assert whole(config) == before


async def test_rows_that_are_urls_are_sent_as_they_are(job: MakeJob, serpapi_fake: FakeSerpApi, tmp_path: Path) -> None:
    """No picture is downloaded; a row's words and its market go with it."""
    job(0)
    (tmp_path / "manifest.csv").write_text(
        "id,image,query,market\na,https://cdn.example.com/a%20b.jpg?x=1&y=%C3%BC,red mug,de-AT\nb,http://cdn.example.com/b,,\n"
    )
    config = load(tmp_path / "job.toml", "provider.country=us")
    report = await run(config)
    assert (report.exit_code, report.tally.ok) == (0, 2), report.summary()
    first, second = sorted((search["query"] for search in serpapi_fake.searches), key=lambda query: query["country"])
    assert (first["q"], first["hl"], first["country"]) == ("red mug", "de", "at")
    assert first["url"] == "https://cdn.example.com/a%20b.jpg?x=1&y=%C3%BC"
    assert ("q" in second, "hl" in second, second["country"]) == (False, False, "us")
    assert records(config)["b"]["sent"] == {"form": "url"}


async def test_rows_without_a_public_url_fail_without_a_search(
    job: MakeJob, serpapi_fake: FakeSerpApi, tmp_path: Path
) -> None:
    """A local file where no public base is set, a token, a crop: each says what to do."""
    job(1, provider={"public_base": ""})
    (tmp_path / "manifest.csv").write_text(
        'id,image,crop,market\na,p0.png,,\nb,token:x,,\nc,https://e.example.com/c.jpg,"0,0,.5,.5",\n'
        "d,https://e.example.com/d.jpg,,nowhere\n"
    )
    config = load(tmp_path / "job.toml")
    report = await run(config)
    assert (report.tally.failed.total(), serpapi_fake.searches) == (4, []), report.summary()
    assert {name: failure["code"] for name, failure in failures(config).items()} == {
        "a": "needs-url",
        "b": "token-not-offered",
        "c": "crop-not-possible",
        "d": "unknown-market",
    }
    assert "set provider.public_base" in failures(config)["a"]["message"]


async def test_another_picture_under_the_same_url_is_searched_again(
    job: MakeJob, serpapi_fake: FakeSerpApi, tmp_path: Path
) -> None:
    """The URL alone would find the answer to the old picture; prices and the endpoint change nothing."""
    config = job(1)
    await run(config)
    draw(tmp_path / "p0.png", 99)
    assert (await run(config)).traffic.sends == 1
    assert (await run(load(tmp_path / "job.toml", "provider.prices.searches=1.0"))).traffic.sends == 0
    assert {search["query"]["url"] for search in serpapi_fake.searches} == {f"{PUBLIC}/p0.png"}


async def test_another_type_takes_one_search_more(job: MakeJob, serpapi_fake: FakeSerpApi, tmp_path: Path) -> None:
    """What was searched for before is stored."""
    await run(job(2))
    report = await run(load(tmp_path / "job.toml", "provider.types=['visual_matches', 'products']"))
    assert (report.traffic.sends, len(serpapi_fake.searches)) == (2, 4)


async def test_a_wrong_key_takes_one_call(job: MakeJob, serpapi_fake: FakeSerpApi) -> None:
    """And ends with exit code 4, saying whose key it was; the free account call says so, and no search is made."""
    serpapi_fake.keys = {"another"}
    report = await run(job(9))
    assert (report.exit_code, serpapi_fake.account_calls, len(serpapi_fake.searches)) == (4, 1, 0)
    assert "the key in the environment variable TEST_LENS_KEY: SerpApi refuses this key" in str(report.cause)


async def test_a_wrong_key_without_an_account_call_takes_one_search(job: MakeJob, serpapi_fake: FakeSerpApi) -> None:
    """Where the account can't be looked at, the first search tells."""
    serpapi_fake.keys, serpapi_fake.has_account = {"another"}, False
    report = await run(job(9))
    assert (report.exit_code, len(serpapi_fake.searches)) == (4, 1)
    assert "Invalid API key" in str(report.cause)


async def test_an_account_without_searches_ends_the_run_before_it_sends(
    job: MakeJob, serpapi_fake: FakeSerpApi
) -> None:
    """With exit code 5."""
    serpapi_fake.left = 0
    report = await run(job(3))
    assert (report.exit_code, len(serpapi_fake.searches)) == (5, 0)
    assert "the account has no searches left of the 5000 a month" in str(report.cause)


async def test_an_account_that_runs_out_of_searches_ends_the_run(job: MakeJob, serpapi_fake: FakeSerpApi) -> None:
    """With exit code 5; the rows that were searched have their records, and the next run does the rest."""
    serpapi_fake.left = 2
    config = job(5, limits={"concurrency": 1})
    report = await run(config)
    assert (report.exit_code, report.tally.ok, len(serpapi_fake.searches)) == (5, 2, 3)
    assert OUT_OF_SEARCHES in str(report.cause)
    serpapi_fake.left = None
    assert ((await run(config)).exit_code, len(records(config))) == (0, 5)
    assert Counter(search["status"] for search in serpapi_fake.searches) == {200: 5, 429: 1}


async def test_an_hour_that_is_used_up_says_when_to_go_on(job: MakeJob, serpapi_fake: FakeSerpApi) -> None:
    """It is no end of the month: the run can go on with the next hour, and says so."""
    serpapi_fake.per_hour, serpapi_fake.this_hour = 200, 200
    report = await run(job(3, retry={"row_timeout": "1ms"}))
    assert (report.exit_code, len(serpapi_fake.searches)) == (5, 0)
    assert "the 200 searches that the plan allows in an hour are used up" in str(report.cause)
    assert "no searches left" not in str(report.cause)


async def test_faults_are_tried_again(job: MakeJob, serpapi_fake: FakeSerpApi) -> None:
    """A 503, a connection that breaks off, an error of this moment inside a 200; none of them costs the row."""
    serpapi_fake.faults += [
        {"status": 503, "error": "Service unavailable"},
        {"drop": True},
        {"error": "We couldn't get valid results for this search. Please try again later."},
    ]
    report = await run(job(1))
    assert (report.exit_code, len(serpapi_fake.searches), report.traffic.retries) == (0, 4, 3)
    # Paid for: the answer, and the one that nobody heard. Searches that failed are free.
    assert report.traffic.cost == pytest.approx(2 * 0.015)


async def test_an_error_of_one_picture_costs_one_row(job: MakeJob, serpapi_fake: FakeSerpApi) -> None:
    """It is inside a 200, kept, and not searched again until that is wanted."""
    serpapi_fake.faults.append({"error": "Google Lens couldn't load the image."})
    config = job(3)
    report = await run(config)
    assert (report.exit_code, report.tally.ok, report.tally.failed) == (1, 2, {"image-refused": 1})
    assert (await run(config)).traffic.sends == 0
    retry_failed(Path(config.output.dir), "image-refused")
    assert ((await run(config)).traffic.sends, len(records(config))) == (1, 3)


async def test_nothing_on_the_web_is_an_empty_record(job: MakeJob, serpapi_fake: FakeSerpApi) -> None:
    """The service calls it an error; it is paid for and done."""
    serpapi_fake.unknown = {f"{PUBLIC}/p0.png"}
    config = job(2)
    report = await run(config)
    assert (report.exit_code, report.tally.empty) == (0, 1)
    assert report.traffic.cost == pytest.approx(0.03)
    assert (records(config)["r0"]["status"], records(config)["r1"]["status"]) == ("empty", "ok")


@pytest.mark.parametrize("cap", ["max_cost", "cost_per_day", "cost_in_all"])
async def test_no_cap_on_cost_is_ever_exceeded(job: MakeJob, serpapi_fake: FakeSerpApi, cap: str) -> None:
    """At $15 for 1,000 searches, 0.05 pays for three."""
    report = await run(job(10, limits={cap: 0.05}))
    assert (report.exit_code, len(serpapi_fake.searches)) == (5, 3)
    assert report.traffic.cost == pytest.approx(0.045)


async def test_the_key_is_nowhere_even_if_it_comes_back(
    job: MakeJob, serpapi_fake: FakeSerpApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It goes in the query of every call. The service names it in answers; no file, message and log line holds it."""
    caplog.set_level(logging.DEBUG)
    serpapi_fake.faults += [
        {"status": 503, "error": "no", "echo": True},
        {"error": "Google Lens couldn't load the image.", "echo": True},
        {"status": 302, "error": "", "headers": {"Location": f"https://elsewhere.example.com/?api_key={KEY}"}},
    ]
    config = job(2, limits={"concurrency": 1})
    report = await run(config)
    assert {search["query"]["api_key"] for search in serpapi_fake.searches} == {KEY}
    assert "[removed]" in failures(config)["r0"]["message"]
    logged = [record.getMessage() for record in caplog.records if record.name != "aiohttp.access"]  # the fake's own
    assert not [line for line in (str(report.cause), report.summary(), *logged) if KEY in line]
    for path in [*(tmp_path / "out").rglob("*"), *(tmp_path / ".state").rglob("*")]:
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


async def test_the_shipped_config_does_what_it_says(
    serpapi_fake: FakeSerpApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sample catalogue, from the folder of the checkout, with nothing changed but where the service is."""
    monkeypatch.chdir(PROJECT)
    monkeypatch.setenv("SERPAPI_API_KEY", KEY)
    sets = [f"provider.endpoint={serpapi_fake.endpoint}", f"output.dir={tmp_path}/out", "limits.qps=0"]
    config = load(PROJECT / "configs" / "lens.toml", *sets)
    report = await run(config)
    assert (report.exit_code, report.tally.ok) == (1, 67), report.summary()
    assert report.tally.failed == {"truncated": 1, "crop-not-possible": 1}
    assert report.traffic.cost == pytest.approx(len(serpapi_fake.searches) * 0.015)


def test_check_looks_at_everything_without_a_call(job: MakeJob, serpapi_fake: FakeSerpApi) -> None:
    """And says what is in order."""
    said = "\n".join(check(job(2)))
    assert "2 rows" in said
    assert "key       present" in said
    assert (serpapi_fake.searches, serpapi_fake.account_calls) == ([], 0)
