"""Whole jobs against the fake: planned, run, resumed, read again; money, quotas, faults, URLs, rotated pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from aiohttp import web
from PIL import Image

from pipeline import run
from pipeline.commands.check import check
from pipeline.commands.plan import make_plan
from pipeline.commands.renormalise import renormalise
from pipeline.commands.retry_failed import retry_failed
from pipeline.config import Config
from pipeline.report.run_json import RUN_FILE
from pipeline.report.tally import Tally
from pipeline.sink.job_files import FAILURES, INSIGHTS
from tests.clocks import leap
from tests.conftest import PROJECT
from tests.providers.google.conftest import MakeJob
from tests.providers.google.fake_vision import KEY, FakeVision, quota_error
from tests.providers.google.vision_answers import LOGO_BOX
from tests.running import lines_of, load
from tests.waiting import until

ALL = ["labels", "objects", "text", "web", "logos", "landmarks", "safety", "colours", "crop_hints", "faces"]

BOTH = ["labelAnnotations", "safeSearchAnnotation"]  # all that the usual features bring


def records(config: Config) -> dict[str, Any]:
    return {record["id"]: record for record in lines_of(Path(config.output.dir, INSIGHTS))}


def failures(config: Config) -> dict[str, Any]:
    return {failure["id"]: failure for failure in lines_of(Path(config.output.dir, FAILURES))}


def whole(config: Config) -> bytes:
    return Path(config.output.dir, INSIGHTS).read_bytes()


def lose_output(config: Config) -> None:
    Path(config.output.dir, INSIGHTS).unlink()


def run_json(config: Config) -> Any:
    return orjson.loads(Path(config.output.dir, RUN_FILE).read_bytes())


async def test_the_whole_road(job: MakeJob, vision: FakeVision) -> None:
    """Planned by the price list, run with every feature, resumed without a call, read again from what is stored."""
    config = job(3, provider={"features": ALL})
    plan = make_plan(config)
    assert (plan.calls, round(plan.cost, 6), plan.further) == (3, 0.04425, 0)
    assert "cost              0.0442 USD  (by the provider's prices)" in plan.text()
    assert "units             3 labels, 3 objects, 3 text, " in plan.text()
    report = await run(config)
    assert (report.exit_code, report.tally.ok, len(vision.calls)) == (0, 3, 3), report.summary()
    assert {call["headers"]["X-Goog-Api-Key"] for call in vision.calls} == {KEY}
    assert all(KEY not in str(call["query"]) for call in vision.calls)
    record = records(config)["r1"]
    assert record["text"]["full"] == "HELLO big\nturned text"
    assert record["calls"]["usage"]["units"] == dict.fromkeys(ALL, 1)
    assert record["calls"]["usage"]["cost"] == pytest.approx(0.01475)

    written = run_json(config)
    assert written["calls"]["cost"] == pytest.approx(0.04425)
    assert {used["feature"]: (used["units"], used["cost"]) for used in written["usage"]} == {
        **dict.fromkeys(["labels", "text", "logos", "landmarks", "colours", "faces"], (3, 0.0045)),
        **dict.fromkeys(["safety", "crop_hints"], (3, 0)),
        "objects": (3, 0.00675),
        "web": (3, 0.0105),
    }
    before = whole(config)
    again = await run(config)
    assert (again.traffic.sends, again.tally.done_before, make_plan(config).calls) == (0, 3, 0)
    assert (await renormalise(config)).rebuilt == 3
    assert whole(config) == before


async def test_what_changes_no_answer_sends_nothing_again(job: MakeJob, vision: FakeVision, tmp_path: Path) -> None:
    """Prices, project and region; other features do."""
    await run(job(2))
    path = tmp_path / "job.toml"
    report = await run(load(path, "provider.project=my-project", "provider.region=eu", "provider.prices.web=4.0"))
    assert (report.traffic.sends, report.tally.done_before) == (0, 2)
    assert (await run(load(path, "provider.features=['labels', 'web']"))).traffic.sends == 2
    assert (await run(load(path))).traffic.sends == 0  # back again: what was asked before is stored
    assert len(vision.calls) == 4


async def test_a_region_is_where_calls_go(job: MakeJob, vision: FakeVision) -> None:
    """By the path that the discovery document has for it."""
    await run(job(1, provider={"project": "my-project", "region": "asia"}))
    assert [call["path"] for call in vision.calls] == ["/v1/projects/my-project/locations/asia/images:annotate"]


async def test_a_wrong_key_takes_one_call(job: MakeJob, vision: FakeVision) -> None:
    """And ends with exit code 4, saying whose key it was."""
    vision.keys = {"another"}
    report = await run(job(9))
    assert (report.exit_code, len(vision.calls)) == (4, 1)
    assert "the key in the environment variable TEST_GOOGLE_KEY: API key not valid." in str(report.cause)


async def test_one_damaged_picture_costs_one_row(job: MakeJob, vision: FakeVision) -> None:
    """The service says so inside a 200; the refusal is kept, and not paid for again until it is wanted."""
    vision.faults.append({"error": {"code": 3, "message": "Bad image data."}, "without": BOTH})
    config = job(3)
    report = await run(config)
    assert (report.exit_code, report.tally.ok, report.tally.failed.total()) == (1, 2, 1)
    ((failed, failure),) = failures(config).items()
    assert (failure["code"], failure["stage"], failure["message"]) == ("invalid-argument", "read", "Bad image data.")
    assert (await run(config)).traffic.sends == 0
    retry_failed(Path(config.output.dir), "invalid-argument")
    assert (await run(config)).traffic.sends == 1
    assert failed in records(config)


async def test_what_came_beside_an_error_is_kept(job: MakeJob, vision: FakeVision) -> None:
    """And what is missing is named; the row is done."""
    vision.faults.append({"error": {"code": 13, "message": "Internal."}, "without": ["safeSearchAnnotation"]})
    config = job(1)
    report = await run(config)
    assert (report.exit_code, len(vision.calls)) == (0, 1)
    record = records(config)["r0"]
    assert record["tags"]
    assert [gap["kind"] for gap in record["unavailable"]] == ["safety", "offers"]
    assert "Internal. (code 13)" in record["unavailable"][0]["reason"]


async def test_faults_are_tried_again(job: MakeJob, vision: FakeVision) -> None:
    """A 503, a connection that breaks off, an error of this moment inside a 200; none of them costs the row."""
    vision.faults += [
        {"status": 503, "error": {"error": {"code": 503, "message": "Later.", "status": "UNAVAILABLE"}}},
        {"drop": True},
        {"error": {"code": 14, "message": "Later."}, "without": BOTH},
    ]
    config = job(1)
    report = await run(config)
    assert (report.exit_code, len(vision.calls), report.traffic.retries) == (0, 4, 3)
    # Paid for: the answer, the one that may be billed although it failed, and the one that nobody heard.
    assert report.traffic.cost == pytest.approx(3 * 0.0015)


async def test_a_quota_of_the_minute_is_waited_for(job: MakeJob, vision: FakeVision) -> None:
    """As long as RetryInfo says, by everyone; no row fails because of it."""
    vision.per_minute = 4
    config = job(6, limits={"concurrency": 2})

    async def wait_out(_tally: Tally, waits_for: Callable[[], str]) -> None:
        await until(lambda: "paused" in waits_for(), "everyone waits")
        vision.minute -= 60  # then the minute is over for the service
        leap(60)
        await anyio.sleep_forever()

    report = await run(config, progress=wait_out)
    assert (report.exit_code, report.tally.ok) == (0, 6), report.summary()
    statuses = Counter(call["status"] for call in vision.calls)
    assert statuses[200] == 6
    assert statuses[429] <= 3


async def test_a_quota_of_the_day_ends_the_run(job: MakeJob, vision: FakeVision) -> None:
    """With exit code 5, at once."""
    status, error = quota_error("label_detection", 0, per="Day")
    vision.faults.append({"status": status, "error": error})
    report = await run(job(5, limits={"concurrency": 1}))
    assert (report.exit_code, len(vision.calls)) == (5, 1)


@pytest.mark.parametrize(
    ("cap", "runs"), [("max_cost", 3), ("cost_per_day", 1), ("cost_per_month", 1), ("cost_in_all", 1)]
)
async def test_no_cap_on_cost_is_ever_exceeded(job: MakeJob, vision: FakeVision, cap: str, runs: int) -> None:
    """At $5 per 1,000 pictures, 0.02 pays for four; the caps that last hold over runs."""
    config = job(10, provider={"features": ["labels", "web"]}, limits={cap: 0.02})
    spent = []
    for _ in range(runs):
        report = await run(config)
        spent.append(report.traffic.cost)
    assert (report.exit_code, len(vision.calls)) == ((0, 10) if runs == 3 else (5, 4))
    assert max(spent) == pytest.approx(0.02)
    if cap != "max_cost":
        assert (await run(config)).traffic.sends == 0


async def test_equal_pictures_are_paid_for_once(job: MakeJob, vision: FakeVision, tmp_path: Path) -> None:
    """In one run, and in the next one."""
    config = job(2)
    (tmp_path / "p1.png").write_bytes((tmp_path / "p0.png").read_bytes())
    assert make_plan(config).repeated == 1
    report = await run(config)
    assert (report.tally.ok, len(vision.calls)) == (2, 1)


async def test_rotated_pictures_are_sent_upright(job: MakeJob, vision: FakeVision, tmp_path: Path) -> None:
    """Whatever the service does with EXIF, it gets none; boxes lie on the upright picture."""
    config = job(1, provider={"features": ["logos", "text"]})
    with Image.open(tmp_path / "p0.png") as drawn:
        exif = Image.Exif()
        exif[0x0112] = 6
        drawn.convert("RGB").save(tmp_path / "p0.png", "JPEG", exif=exif)  # 64 x 48, to be turned by a quarter
    await run(config)
    record = records(config)["r0"]
    assert (record["source"]["width"], record["source"]["height"], record["source"]["orientation"]) == (48, 64, 6)
    assert (record["sent"]["action"], record["sent"]["width"], record["sent"]["height"]) == ("encoded", 48, 64)
    x, y, width, height = LOGO_BOX
    assert record["entities"][0]["box"] == [
        {"x": x, "y": y}, {"x": x + width, "y": y}, {"x": x + width, "y": y + height}, {"x": x, "y": y + height},
    ]  # fmt: skip
    assert [gap["kind"] for gap in record["unavailable"]] == ["offers"]


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[str]:
    """Serve the pictures on loopback, and return where."""
    app = web.Application()
    app.router.add_static("/", tmp_path)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def job_of_urls(job: MakeJob, tmp_path: Path, shop: str, *urls: str) -> Config:
    job(2)
    (tmp_path / "manifest.csv").write_text("id,image\n" + "".join(f"u{n},{shop}/{url}\n" for n, url in enumerate(urls)))
    return load(tmp_path / "job.toml", "provider.url_form=url", "prepare.allow_private=true")


async def test_urls_are_sent_as_urls_and_as_bytes_where_that_fails(
    job: MakeJob, vision: FakeVision, shop: str, tmp_path: Path
) -> None:
    """A picture that the service can't load is downloaded and sent; both calls are counted, and none is repeated."""
    config = job_of_urls(job, tmp_path, shop, "p0.png", "p1.png")
    vision.unloadable = {f"{shop}/p1.png"}
    plan = make_plan(config)
    assert (plan.calls, plan.further) == (2, 2)
    report = await run(config)
    assert (report.exit_code, report.tally.ok, len(vision.calls)) == (0, 2, 3), report.summary()
    loaded, sent = records(config)["u0"], records(config)["u1"]
    assert (loaded["sent"], loaded["calls"]["count"]) == ({"form": "url"}, 1)
    assert (sent["sent"]["form"], sent["calls"]["count"]) == ("bytes", 2)
    assert sent["calls"]["usage"]["units"] == {"labels": 2, "safety": 2}
    before = whole(config)
    assert (await run(config)).traffic.sends == 0
    assert (await renormalise(config)).rebuilt == 2
    assert whole(config) == before
    lose_output(config)
    assert (await run(config)).traffic.sends == 0  # both answers of the second row are stored
    assert set(records(config)) == {"u0", "u1"}


async def test_a_url_that_nobody_can_load_fails_like_any_download(
    job: MakeJob, vision: FakeVision, shop: str, tmp_path: Path
) -> None:
    """By what its own server says."""
    config = job_of_urls(job, tmp_path, shop, "missing.png")
    vision.unloadable = {f"{shop}/missing.png"}
    report = await run(config)
    assert (report.exit_code, len(vision.calls)) == (1, 1)
    assert failures(config)["u0"]["code"] == "not-found"


async def test_the_key_is_nowhere_even_if_it_comes_back(job: MakeJob, vision: FakeVision, tmp_path: Path) -> None:
    """The service may name it in an error; no file of the job and of the state folder holds it."""
    vision.faults += [
        {"status": 503, "error": {"error": {"code": 503, "message": "no"}}, "echo": True},
        {"status": 400, "error": {"error": {"code": 400, "message": "no"}}, "echo": True},
    ]
    config = job(1, retry={"attempts": 2})
    report = await run(config)
    assert "[removed]" in str(report.cause)
    for path in [*(tmp_path / "out").rglob("*"), *(tmp_path / ".state").rglob("*")]:
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


async def test_the_shipped_config_does_what_it_says(
    vision: FakeVision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sample catalogue, from the folder of the checkout, with nothing changed but where the service is."""
    monkeypatch.chdir(PROJECT)
    monkeypatch.setenv("GOOGLE_API_KEY", KEY)
    sets = [f"provider.endpoint={vision.endpoint}", f"output.dir={tmp_path}/out", "limits.qps=0"]
    config = load(PROJECT / "configs" / "google.toml", *sets)
    report = await run(config)
    assert (report.exit_code, report.tally.ok) == (1, 67), report.summary()
    assert report.tally.failed == {"truncated": 1, "crop-not-possible": 1}
    assert report.traffic.cost == pytest.approx(len(vision.calls) * 0.0065)


def test_check_looks_at_everything_without_a_call(job: MakeJob, vision: FakeVision) -> None:
    """And says what is in order."""
    said = "\n".join(check(job(2)))
    assert "2 rows" in said
    assert "key       present" in said
    assert vision.calls == []
