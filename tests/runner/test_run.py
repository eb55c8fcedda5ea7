"""Whole runs over real sockets against the embedded service: what is asked, written, paid, and said."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from pipeline.commands.plan import make_plan
from pipeline.commands.renormalise import renormalise
from pipeline.config import Config
from pipeline.errors import JobLocked, Misconfigured, OutputError
from pipeline.report.run_json import Report, read_run_json
from pipeline.report.status import job_status
from pipeline.runner.job import run
from pipeline.schema import json_schema
from pipeline.sink.job_files import open_job
from tests.prepare.pictures import HOSTILE
from tests.running import KEY, KEY_ENV, Service, draw, lines_of, load, running_service, write_config, write_manifest

TWO_CALLS: dict[str, object] = {"ask": "details", "modules": ["Tags", "RecognizedEntities"]}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(12):
        draw(folder / f"p{number}.png", number)
    return folder


@pytest.fixture(scope="module")
def shared_service(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("service"), pictures) as service:
        yield service


@pytest.fixture
def service(shared_service: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    """Return the service with no fault to come and an empty journal; the key is in the environment."""
    monkeypatch.setenv(KEY_ENV, KEY)
    shared_service.faults()
    os.truncate(shared_service.journal, 0)
    return shared_service


def job(
    tmp_path: Path, pictures: Path, service: Service, rows: list[dict[str, str]], **tables: dict[str, object]
) -> Config:
    manifest = write_manifest(tmp_path / "manifest.csv", rows)
    tables["manifest"] = {"root": str(pictures)} | tables.get("manifest", {})
    return load(write_config(tmp_path / "job.toml", manifest, service.endpoint, **tables))


def distinct(count: int) -> list[dict[str, str]]:
    return [{"id": f"r{n}", "image": f"p{n}.png"} for n in range(count)]


async def ok(config: Config, limit: int | None = None) -> Report:
    report = await run(config, limit=limit)
    assert report.cause is None
    return report


async def test_every_row_has_one_valid_line(tmp_path: Path, pictures: Path, service: Service) -> None:
    """Records validate against the schema, carry their columns, and name what was sent."""
    rows = [{**row, "title": f"T{row['id']}"} for row in distinct(5)]
    config = job(tmp_path, pictures, service, rows, manifest={"carry": ["title"]})
    report = await ok(config)
    records = lines_of(tmp_path / "out" / "insights.jsonl")
    validator = Draft202012Validator(json_schema())
    for record in records:
        validator.validate(record)
        assert record["carry"] == {"title": f"T{record['id']}"}
        assert record["calls"]["count"] == 1
        assert record["source"]["sha256"] in {seen["picture"]["sha256"] for seen in service.seen()}
    assert sorted(record["id"] for record in records) == [f"r{n}" for n in range(5)]
    assert (report.exit_code, report.traffic.sends, len(service.seen())) == (0, 5, 5)


async def test_what_the_server_receives_is_within_the_limits(tmp_path: Path, service: Service) -> None:
    """A picture of 4,000 px and one of more than 1 MB arrive at most 1,500 px wide and 1,000,000 bytes long."""
    draw(tmp_path / "pictures" / "wide.png", 1, (4000, 300))
    noise = os.urandom(1400 * 1000 * 3)
    from PIL import Image

    Image.frombytes("RGB", (1400, 1000), noise).save(tmp_path / "pictures" / "noise.png")
    rows = [{"id": name, "image": f"{name}.png"} for name in ("wide", "noise")]
    await ok(job(tmp_path, tmp_path / "pictures", service, rows))
    arrived = [seen["picture"] for seen in service.seen()]
    assert len(arrived) == 2
    assert all(max(p["width"], p["height"]) <= 1500 and p["bytes"] <= 1_000_000 for p in arrived)


async def test_ten_ids_with_one_picture_are_one_call(tmp_path: Path, pictures: Path, service: Service) -> None:
    """One pays; all ten have their record."""
    rows = [{"id": f"r{n}", "image": "p1.png"} for n in range(10)]
    config = job(tmp_path, pictures, service, rows)
    assert make_plan(config).calls == 1
    report = await ok(config)
    records = lines_of(tmp_path / "out" / "insights.jsonl")
    assert len(service.seen()) == report.traffic.sends == 1
    assert len({record["id"] for record in records}) == 10
    assert sum(not record["calls"]["from_store"] for record in records) == 1


async def test_the_second_night_makes_no_call_and_opens_no_picture(
    tmp_path: Path, pictures: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unchanged rows are done; new, changed and renamed ones cost only what is new."""
    config = job(tmp_path, pictures, service, distinct(4))
    await ok(config)
    before = (tmp_path / "out" / "insights.jsonl").read_bytes()
    monkeypatch.setattr("pipeline.prepare.sources.read_file", lambda *_: pytest.fail("a picture was opened"))
    report = await ok(config)
    assert (report.traffic.sends, report.tally.done_before) == (0, 4)
    assert (tmp_path / "out" / "insights.jsonl").read_bytes() == before
    assert len(service.seen()) == 4


async def test_a_changed_picture_is_asked_again_and_supersedes_its_record(tmp_path: Path, service: Service) -> None:
    """The new record takes the old one's place: one line per id when the run is over."""
    folder = tmp_path / "pictures"
    draw(folder / "p0.png", 0)
    draw(folder / "p1.png", 1)
    config = job(tmp_path, folder, service, distinct(2))
    await ok(config)
    draw(folder / "p1.png", 77)
    os.utime(folder / "p0.png", ns=(5, 5))  # touched, its content unchanged: answered from the store
    report = await ok(config)
    assert report.traffic.sends == 1
    records = lines_of(tmp_path / "out" / "insights.jsonl")
    assert sorted(record["id"] for record in records) == ["r0", "r1"]


async def test_a_new_carried_column_costs_nothing(tmp_path: Path, pictures: Path, service: Service) -> None:
    """Records are rebuilt from stored answers when only what is carried has changed."""
    rows = distinct(3)
    await ok(job(tmp_path, pictures, service, rows))
    config = job(tmp_path, pictures, service, [{**row, "t": "x"} for row in rows], manifest={"carry": ["t"]})
    report = await ok(config)
    assert (report.traffic.sends, report.tally.from_store) == (0, 3)
    assert all(record["carry"] == {"t": "x"} for record in lines_of(tmp_path / "out" / "insights.jsonl"))


async def test_old_answers_are_refreshed(tmp_path: Path, pictures: Path, service: Service) -> None:
    """With a refresh shorter than their age, rows are asked again, once, and stand once."""
    config = job(tmp_path, pictures, service, distinct(3))
    await ok(config)
    refreshing = config.model_copy(update={"output": config.output.model_copy(update={"refresh": 0.0})})
    assert (await ok(refreshing)).traffic.sends == 3
    assert len(lines_of(tmp_path / "out" / "insights.jsonl")) == 3


async def test_rows_that_left_the_manifest_stay_unless_pruned(tmp_path: Path, pictures: Path, service: Service) -> None:
    """Paid records are kept; `prune` drops them; failures of lines that are gone never stay."""
    rows = [*distinct(3), {"id": "bad", "image": "ftp://x/y.png"}]
    await ok(job(tmp_path, pictures, service, rows))
    assert [f["code"] for f in lines_of(tmp_path / "out" / "failures.jsonl")] == ["unsupported-scheme"]
    await ok(job(tmp_path, pictures, service, rows[:2]))
    assert len(lines_of(tmp_path / "out" / "insights.jsonl")) == 3
    assert lines_of(tmp_path / "out" / "failures.jsonl") == []
    await ok(job(tmp_path, pictures, service, rows[:2], output={"prune": True}))
    assert sorted(r["id"] for r in lines_of(tmp_path / "out" / "insights.jsonl")) == ["r0", "r1"]


async def test_failing_rows_are_told_apart_and_tried_again_on_request(
    tmp_path: Path, pictures: Path, service: Service
) -> None:
    """Repeated ids, missing files and refusals of the service fail by line and code; retry brings back its code."""
    rows = [*distinct(2), {"id": "r0", "image": "p3.png"}, {"id": "gone", "image": "gone.png"}]
    service.faults({"kind": "error", "status": 400, "code": "InvalidRequest", "sub_code": "ParameterInvalidValue"})
    config = job(tmp_path, pictures, service, rows, limits={"concurrency": 1})
    report = await run(config)
    failures = {f["code"]: f for f in lines_of(tmp_path / "out" / "failures.jsonl")}
    assert report.exit_code == 1
    assert failures["repeated-id"]["line"] == 4
    assert failures["not-found"]["stage"] == "source"
    assert len(failures) == 3
    assert (await run(config)).traffic.sends == 0
    code = next(code for code, failure in failures.items() if failure.get("http_status") == 400)
    with open_job(tmp_path / "out") as opened:
        assert opened.state.ledger.retry(code) == 1
    report = await run(config)
    assert report.traffic.sends == 1
    assert sorted(f["code"] for f in lines_of(tmp_path / "out" / "failures.jsonl")) == ["not-found", "repeated-id"]
    assert len(lines_of(tmp_path / "out" / "insights.jsonl")) == 2


@pytest.mark.parametrize(
    ("fault", "exit_code", "reason"),
    [
        pytest.param({"status": 401, "code": "InvalidAuthorization"}, 4, "key-refused", id="401"),
        pytest.param({"status": 403, "code": "InsufficientAuthorization"}, 4, "key-refused", id="403 permission"),
        pytest.param({"status": 403, "code": "RateLimitExceeded"}, 5, "quota", id="403 quota"),
        pytest.param(
            {"status": 429, "code": "RateLimitExceeded", "retry_after": "7200"}, 5, "quota", id="429 for hours"
        ),
        pytest.param({"status": 410, "code": "InvalidRequest", "sub_code": "HttpNotAllowed"}, 2, "error", id="410"),
    ],
)
async def test_what_stops_a_run_costs_one_call(
    tmp_path: Path, pictures: Path, service: Service, fault: dict[str, object], exit_code: int, reason: str
) -> None:
    """The first request goes alone; nothing is written as failed, and the next run goes on."""
    service.faults({"kind": "error", "times": 1000, **fault})
    config = job(tmp_path, pictures, service, distinct(12), limits={"concurrency": 8})
    report = await run(config)
    assert (report.exit_code, report.reason, len(service.seen())) == (exit_code, reason, 1)
    assert lines_of(tmp_path / "out" / "failures.jsonl") == []
    said = read_run_json(tmp_path / "out")
    assert said["exit_code"] == exit_code
    assert said["message"]
    assert said["rows"]["left"] == (12 if report.complete else None)
    service.faults()
    assert (await ok(config)).tally.ok == 12
    assert read_run_json(tmp_path / "out")["rows"]["left"] == 0


async def test_the_quota_of_a_day_ends_a_run_that_the_next_one_goes_on_with(
    tmp_path: Path, pictures: Path, service: Service
) -> None:
    """Two jobs with one key are together within calls_per_day, and run.json says when to go on."""
    config = job(tmp_path, pictures, service, distinct(6), limits={"calls_per_day": 8})
    other = job(tmp_path / "other", pictures, service, distinct(6), limits={"calls_per_day": 8})
    assert (await run(config)).exit_code == 0
    report = await run(other)
    assert (report.exit_code, report.tally.ok, len(service.seen())) == (5, 2, 8)
    assert read_run_json(tmp_path / "other" / "out")["resume_after"].endswith("T00:00:00Z")
    richer = job(tmp_path / "other", pictures, service, distinct(6), limits={"calls_per_day": 100})
    assert (await ok(richer)).traffic.sends == 4


async def test_a_check_leaves_the_metrics_alone(tmp_path: Path, pictures: Path, service: Service) -> None:
    """It is no night: neither its success nor its failure is one."""
    config = job(tmp_path, pictures, service, distinct(3))
    await run(config, limit=1, is_check=True)
    assert not (tmp_path / "out" / "metrics.prom").exists()
    await run(config, limit=1)
    before = (tmp_path / "out" / "metrics.prom").read_bytes()
    await run(config, is_check=True)
    assert (tmp_path / "out" / "metrics.prom").read_bytes() == before


async def test_a_run_never_costs_more_than_max_cost(tmp_path: Path, pictures: Path, service: Service) -> None:
    """At 1.00 a thousand calls, 0.005 pays for five."""
    limits: dict[str, object] = {"cost_per_1000_calls": 1.0, "max_cost": 0.005}
    config = job(tmp_path, pictures, service, distinct(9), limits=limits)
    plan = make_plan(config)
    assert (plan.calls, plan.nights.count) == (9, 2)
    report = await run(config)
    assert (report.exit_code, len(service.seen()), report.traffic.cost) == (5, 5, 0.005)
    assert report.resume_after is not None
    assert report.resume_after > report.ended


@pytest.mark.parametrize(("cap", "nights"), [("cost_per_day", 3), ("cost_per_month", 3), ("cost_in_all", 1)])
async def test_spent_money_is_counted_over_runs(
    tmp_path: Path, pictures: Path, service: Service, cap: str, nights: int
) -> None:
    """0.004 pays for four calls, whichever run makes them, and the plan knows it."""
    limits: dict[str, object] = {"cost_per_1000_calls": 1.0, cap: 0.004}
    config = job(tmp_path, pictures, service, distinct(9), limits=limits)
    plan = make_plan(config)
    assert (plan.calls, plan.nights.count) == (9, nights)
    assert ("cost_in_all pays for 4 of the calls" in plan.text()) == (cap == "cost_in_all")
    assert (await run(config, limit=3)).traffic.sends == 3
    report = await run(config)
    assert (report.exit_code, report.traffic.sends, len(service.seen())) == (5, 1, 4)
    assert f"limits.{cap} = 0.004" in str(report.message)
    assert (report.resume_after is None) == (cap == "cost_in_all")
    assert make_plan(config).nights.count == (0 if cap == "cost_in_all" else 2)


async def test_a_run_without_lasting_caps_needs_no_state_folder(
    tmp_path: Path, pictures: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs where HOME can't be written; with a cap per day it says which setting needs it."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file" / "state"))
    assert (await ok(job(tmp_path, pictures, service, distinct(3)))).tally.ok == 3
    with pytest.raises(OutputError, match=r"limits\.calls_per_day needs it"):
        await run(job(tmp_path, pictures, service, distinct(3), limits={"calls_per_day": 9}))


async def test_a_throttled_call_is_tried_again_after_its_pause(
    tmp_path: Path, pictures: Path, service: Service
) -> None:
    """A 429 fails no row."""
    service.faults({"kind": "error", "status": 429, "code": "RateLimitExceeded", "retry_after": "0", "times": 2})
    report = await ok(job(tmp_path, pictures, service, distinct(2)))
    assert (report.tally.ok, report.traffic.throttled, report.traffic.sends) == (2, 2, 4)


async def test_too_many_failures_end_the_run(tmp_path: Path, pictures: Path, service: Service) -> None:
    """The share is judged from twenty rows on; the report names the most frequent code."""
    rows = [{"id": f"x{n}", "image": f"missing{n}.png"} for n in range(60)]
    report = await run(job(tmp_path, pictures, service, rows, output={"max_failed": "50%"}))
    assert (report.exit_code, report.reason) == (3, "too-many-failures")
    assert "not-found" in str(report.cause)
    assert 20 <= len(lines_of(tmp_path / "out" / "failures.jsonl")) <= 60


async def test_a_service_that_is_down_ends_the_run_and_loses_nothing(
    tmp_path: Path, pictures: Path, service: Service
) -> None:
    """Rows that found no answer are failures that the next run tries again by itself."""
    rows = [{"id": f"r{n}", "image": f"p{n % 12}.png", "query": str(n)} for n in range(40)]
    config = job(tmp_path, pictures, service, rows, retry={"attempts": 1}, limits={"concurrency": 2})
    service.faults({"kind": "reset", "times": 10_000})
    report = await run(config)
    assert (report.exit_code, report.reason) == (3, "too-many-failures")
    assert "is the service up" in str(report.cause)
    assert f"too-many-failures, exit code 3: {report.cause}" in job_status(tmp_path / "out")
    service.faults()
    report = await ok(config)
    assert report.exit_code == 0
    assert len(lines_of(tmp_path / "out" / "insights.jsonl")) == 40
    assert lines_of(tmp_path / "out" / "failures.jsonl") == []


async def test_the_deadline_drains_and_the_next_run_goes_on(tmp_path: Path, pictures: Path, service: Service) -> None:
    """What is in flight is finished, nothing new is begun, exit 6."""
    service.faults({"kind": "answer", "delay": 0.3, "times": 1000})
    config = job(tmp_path, pictures, service, distinct(12), limits={"concurrency": 1, "max_runtime": "700ms"})
    report = await run(config)
    assert (report.exit_code, report.reason) == (6, "deadline")
    written = len(lines_of(tmp_path / "out" / "insights.jsonl"))
    assert written == len(service.seen()) < 12
    service.faults()
    soon = (datetime.now() + timedelta(minutes=30)).strftime("%H:%M")
    config = job(tmp_path, pictures, service, distinct(12), limits={"stop_at": soon})
    assert (await ok(config)).tally.ok == 12 - written


async def test_the_local_clock_ends_a_run(
    tmp_path: Path, pictures: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the clock shows `stop_at` what is in flight is finished, and the next run goes on."""
    service.faults({"kind": "answer", "delay": 0.3, "times": 1000})
    config = job(tmp_path, pictures, service, distinct(12), limits={"concurrency": 1})
    monkeypatch.setattr(
        "pipeline.runner.stop_conditions.next_time", lambda _, started: started + timedelta(seconds=0.7)
    )
    ending = config.model_copy(update={"limits": config.limits.model_copy(update={"stop_at": time(6)})})
    report = await run(ending)
    assert (report.exit_code, "stop_at" in str(report.cause)) == (6, True)
    assert len(lines_of(tmp_path / "out" / "insights.jsonl")) == len(service.seen()) < 12
    service.faults()
    assert (await ok(config)).tally.ok == 12 - report.tally.ok


async def test_the_second_run_of_a_job_is_refused(tmp_path: Path, pictures: Path, service: Service) -> None:
    """While one holds the lock the other ends at once with exit code 7."""
    config = job(tmp_path, pictures, service, distinct(1))
    with open_job(tmp_path / "out"), pytest.raises(JobLocked) as caught:
        await run(config)
    assert caught.value.exit_code == 7
    assert service.seen() == []


async def test_a_limit_does_so_many_rows(tmp_path: Path, pictures: Path, service: Service) -> None:
    """Each run with --limit takes the next rows."""
    config = job(tmp_path, pictures, service, distinct(5))
    assert [(await ok(config, limit=2)).tally.ok for _ in range(3)] == [2, 2, 1]
    assert len(service.seen()) == 5


async def test_records_can_be_rebuilt_without_a_call(tmp_path: Path, pictures: Path, service: Service) -> None:
    """Renormalising reproduces every record, and survives records whose answers are gone."""
    config = job(tmp_path, pictures, service, distinct(4))
    await ok(config)
    before = lines_of(tmp_path / "out" / "insights.jsonl")
    counts = await renormalise(config)
    assert (counts.rebuilt, counts.kept) == (4, 0)
    assert lines_of(tmp_path / "out" / "insights.jsonl") == before
    assert len(service.seen()) == 4
    assert (await ok(config)).tally.done_before == 4


async def test_plan_and_status_tell_the_truth(tmp_path: Path, pictures: Path, service: Service) -> None:
    """The plan's calls are the run's; afterwards nothing is left to do."""
    rows = [*distinct(6), {"id": "again", "image": "p1.png"}, {"id": "bad", "image": "../x.png"}]
    limits: dict[str, object] = {"calls_per_day": 4, "cost_per_1000_calls": 10.0, "qps": 50}
    config = job(tmp_path, pictures, service, rows, limits=limits)
    plan = make_plan(config)
    assert (plan.rows, plan.to_ask, plan.repeated, plan.failed, plan.calls) == (8, 6, 1, 1, 6)
    assert (round(plan.cost, 9), plan.nights.count, plan.seconds) == (0.06, 2, 0.12)
    assert service.seen() == []
    assert not (tmp_path / "out").exists()
    free = config.model_copy(update={"limits": config.limits.model_copy(update={"calls_per_day": 0})})
    assert (await run(free)).traffic.sends == plan.calls
    after = make_plan(config)
    assert (after.done, after.failed, after.calls) == (7, 1, 0)
    assert "records         7" in job_status(tmp_path / "out")


async def test_the_key_is_nowhere_to_be_found(
    tmp_path: Path,
    pictures: Path,
    service: Service,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Through success, refusals, throttling, garbage and a crash: in no file, log line, exception or journal."""
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    faults: list[dict[str, object]] = [
        {"kind": "answer"},
        {"kind": "error", "status": 429, "retry_after": "0"},
        {"kind": "garbage"},
        {"kind": "html", "status": 502},
        {"kind": "reset"},
        {"kind": "truncate"},
        {"kind": "error", "status": 401, "code": "InvalidAuthorization"},
    ]
    for number, fault in enumerate(faults):
        service.faults({**fault, "times": 3})
        config = job(tmp_path / str(number), pictures, service, distinct(3), retry={"attempts": 2})
        report = await run(config)
        said += [repr(report), repr(config), str(report.cause), repr(report.cause), report.summary()]
    with pytest.MonkeyPatch.context() as patch:
        service.faults()
        patch.setattr("pipeline.runner.stages.fetch_row", lambda *_: 1 / 0)
        report = await run(job(tmp_path / "crash", pictures, service, distinct(2)))
        assert report.cause is not None
        said += ["".join(traceback.format_exception(report.cause)), repr(report.cause.__cause__)]
    assert report.exit_code == 3
    assert "ZeroDivisionError" in said[-1]
    outputs = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]  # noqa: ASYNC240 - nothing else runs
    assert len(outputs) > 40
    printed = capfd.readouterr()
    assert KEY.encode() not in b"".join([*outputs, service.journal.read_bytes()])
    assert KEY not in "".join([*said, caplog.text, printed.out, printed.err])


async def test_a_disk_that_is_full_stops_the_run_and_the_next_one_goes_on(
    tmp_path: Path, pictures: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is torn; answers that were paid before are not paid again."""
    config = job(tmp_path, pictures, service, distinct(8))
    real = os.write

    def full(fd: int, data: bytes) -> int:
        if b'"schema":"1"' in bytes(data):
            raise OSError(28, "No space left on device")
        return real(fd, data)

    monkeypatch.setattr(os, "write", full)
    report = await run(config)
    assert (report.exit_code, report.reason) == (3, "output")
    assert "No space left" in str(report.cause)
    assert lines_of(tmp_path / "out" / "insights.jsonl") == []
    monkeypatch.setattr(os, "write", real)
    await ok(config)
    assert len(lines_of(tmp_path / "out" / "insights.jsonl")) == 8
    assert len(service.seen()) == 8


async def test_a_report_that_can_not_be_written_hides_no_cause(
    tmp_path: Path, pictures: Path, service: Service
) -> None:
    """The run ends with what ended it; where nothing did, with the report that could not be written."""
    config = job(tmp_path, pictures, service, distinct(3))
    (tmp_path / "out" / "metrics.prom").mkdir(parents=True)
    report = await run(config)
    assert (report.exit_code, report.tally.ok, "metrics.prom" in str(report.cause)) == (3, 3, True)
    poor = job(tmp_path, pictures, service, distinct(5), limits={"calls_per_run": 1})
    report = await run(poor)
    assert (report.exit_code, report.tally.ok) == (5, 1)
    assert "limits.calls_per_run = 1 is reached; the next run goes on" in report.summary()


async def test_a_wrong_path_of_the_endpoint_costs_one_call(tmp_path: Path, pictures: Path, service: Service) -> None:
    """A 404 from the service is a wrong endpoint, told with the status, exit 2."""
    config = job(tmp_path, pictures, service, distinct(5), provider={"endpoint": f"{service.endpoint}/nowhere"})
    report = await run(config)
    assert isinstance(report.cause, Misconfigured)
    assert report.exit_code == 2


async def test_lost_records_are_rebuilt_without_a_call(tmp_path: Path, pictures: Path, service: Service) -> None:
    """A deleted insights.jsonl is made anew from manifest, pictures and stored answers; new rows are left alone."""
    rows = distinct(4)
    await ok(job(tmp_path, pictures, service, rows))
    path = tmp_path / "out" / "insights.jsonl"
    before = {record["id"]: record for record in lines_of(path)}
    path.unlink()
    config = job(tmp_path, pictures, service, [{"id": "new", "image": "p9.png"}, *rows[:3]])
    counts = await renormalise(config)
    assert (counts.rebuilt, counts.kept, counts.lost) == (3, 0, 1)
    assert "1 rows have lost their line" in counts.text()
    for record in lines_of(path):
        assert record["tags"] == before[record["id"]]["tags"]
        assert record["source"] == before[record["id"]]["source"]
    assert sorted(record["id"] for record in lines_of(path)) == ["r0", "r1", "r2"]
    report = await ok(job(tmp_path, pictures, service, [{"id": "new", "image": "p9.png"}, *rows]))
    assert (report.traffic.sends, report.tally.done_before) == (1, 3)
    assert len(service.seen()) == 5


async def test_an_edited_file_is_told_by_every_command_that_would_write_it(
    tmp_path: Path, pictures: Path, service: Service
) -> None:
    """Its line is named, and what it held comes back once it is moved away; no call is made."""
    config = job(tmp_path, pictures, service, distinct(3))
    await ok(config)
    path = tmp_path / "out" / "insights.jsonl"
    path.write_bytes(path.read_bytes().replace(b"\n", b"", 1))
    for attempt in (run, renormalise):
        with pytest.raises(OutputError, match=r"insights\.jsonl, line 1, is not what"):
            await attempt(config)
    path.rename(tmp_path / "edited.jsonl")
    assert (await renormalise(config)).rebuilt == 3
    assert (len(lines_of(path)), len(service.seen())) == (3, 3)


async def test_records_of_several_calls_can_be_rebuilt_too(tmp_path: Path, pictures: Path, service: Service) -> None:
    """Records of several calls are joined again as they were."""
    config = job(tmp_path, pictures, service, distinct(3), provider=TWO_CALLS)
    report = await ok(config)
    assert report.traffic.sends == 6
    before = lines_of(tmp_path / "out" / "insights.jsonl")
    assert (await renormalise(config)).rebuilt == 3
    assert lines_of(tmp_path / "out" / "insights.jsonl") == before


async def test_the_plan_of_a_refresh_is_its_calls(tmp_path: Path, pictures: Path, service: Service) -> None:
    """Answers that are too old are planned as calls."""
    config = job(tmp_path, pictures, service, distinct(3))
    await ok(config)
    refreshing = config.model_copy(update={"output": config.output.model_copy(update={"refresh": 0.0})})
    assert make_plan(refreshing).calls == 3
    assert (await ok(refreshing)).traffic.sends == 3


async def test_a_refresh_that_finds_no_answer_keeps_the_old_records(
    tmp_path: Path, pictures: Path, service: Service
) -> None:
    """An old record is better than none; the next run asks again."""
    config = job(tmp_path, pictures, service, distinct(4), retry={"attempts": 1}, limits={"concurrency": 1})
    await ok(config)
    refreshing = config.model_copy(update={"output": config.output.model_copy(update={"refresh": 0.0})})
    service.faults({"kind": "reset", "times": 1000})
    report = await run(refreshing)
    assert report.tally.failed.total() == 4
    assert len(lines_of(tmp_path / "out" / "insights.jsonl")) == 4
    assert lines_of(tmp_path / "out" / "failures.jsonl") == []
    service.faults()
    assert (await ok(refreshing)).tally.ok == 4


async def test_one_row_with_a_wrong_path_stops_no_run(tmp_path: Path, pictures: Path, service: Service) -> None:
    """A 404 after others were answered is that row's trouble: it fails, tried again next time, and the run goes on."""
    service.faults({"kind": "answer", "times": 2}, {"kind": "error", "status": 404, "times": 1})
    config = job(tmp_path, pictures, service, distinct(6), retry={"attempts": 2}, limits={"concurrency": 1})
    report = await run(config)
    assert (report.exit_code, report.tally.ok) == (1, 5)
    (failure,) = lines_of(tmp_path / "out" / "failures.jsonl")
    assert (failure["http_status"], failure["retryable"]) == (404, True)


async def test_the_deadline_counts_while_the_index_is_built(tmp_path: Path, pictures: Path) -> None:
    """A run of the embedded service that has no time left ends with exit code 6 before it asks anything."""
    manifest = write_manifest(tmp_path / "manifest.csv", distinct(12))
    lines = [f'[manifest]\npath = "{manifest}"\nroot = "{pictures}"', '[provider]\nname = "local"']
    lines += ['[limits]\nmax_runtime = "1ms"', f'[output]\ndir = "{tmp_path}/out"']
    (tmp_path / "job.toml").write_text("\n".join(lines))
    report = await run(load(tmp_path / "job.toml"))
    assert (report.exit_code, report.reason, report.traffic.sends) == (6, "deadline", 0)
    assert read_run_json(tmp_path / "out")["rows"]["left"] is None


async def test_real_photographs_arrive_within_the_limits(tmp_path: Path, service: Service, shared_photos: Path) -> None:
    """Each of 42 real pictures has its record, and what the server received is within 1,000,000 bytes and 1,500 px."""
    config = load(write_config(tmp_path / "job.toml", shared_photos / "good", service.endpoint))
    report = await ok(config)
    arrived = [seen["picture"] for seen in service.seen()]
    assert (report.exit_code, report.tally.records_written, len(arrived)) == (0, 42, 42)
    assert max(picture["bytes"] for picture in arrived) <= 1_000_000
    assert max(max(picture["width"], picture["height"]) for picture in arrived) <= 1_500


async def test_hostile_files_fail_by_name(tmp_path: Path, service: Service, shared_photos: Path) -> None:
    """Each broken file has its code, the others have their records, and the run ends with exit code 1."""
    config = load(write_config(tmp_path / "job.toml", shared_photos / "hostile", service.endpoint))
    report = await ok(config)
    failures = {failure["id"]: failure["code"] for failure in lines_of(tmp_path / "out" / "failures.jsonl")}
    assert failures == HOSTILE
    records = {record["id"] for record in lines_of(tmp_path / "out" / "insights.jsonl")}
    assert records == {"h12_png_as.jpg", "h14_exif_corrupt.jpg", "h15_icc_garbage.jpg"}
    assert report.exit_code == 1
