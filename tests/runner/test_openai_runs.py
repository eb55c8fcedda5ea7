"""A job that asks a model: the whole road over real sockets, from the config to the record, with all its faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from jsonschema import Draft202012Validator

from pipeline import load_config, run
from pipeline.commands.plan import make_plan
from pipeline.commands.renormalise import renormalise
from pipeline.commands.retry_failed import retry_failed
from pipeline.config import Config
from pipeline.errors import KeyRefused, Misconfigured, QuotaUsedUp
from pipeline.report.run_json import Report
from pipeline.schema import json_schema
from tests.providers.openai.fake_service import FAULTS, KEY, KEY_ENV, MODEL, Behaviour, OpenAIService
from tests.running import draw, lines_of

ROWS = 12
# A shop's own questions: enumerations, lists, a nested object, numbers, what must be there and what may be absent.
FIELDS = """
[provider.fields]
material = "What it is mostly made of, in one word"
colour = { choices = ["red", "teal", "white", "other"], required = true }
colours = { type = "array", items = { choices = ["red", "teal", "white", "other"] } }
pieces = { type = "integer", description = "How many things are shown" }
is_new = { type = "boolean", required = true }
condition = { choices = ["new", "used", "broken"] }
brand = "The brand, if it can be read"
weight_kg = { type = "number" }
flaws = { type = "array", description = "What is wrong with it" }
gender = { choices = ["women", "men", "children", "all"] }
season = { type = "array", items = { choices = ["spring", "summer", "autumn", "winter"] } }
[provider.fields.size]
type = "object"
required = true
[provider.fields.size.fields]
width_cm = { type = "number" }
height_cm = { type = "number" }
label = { type = "string", required = true }
"""


@pytest.fixture
async def service(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenAIService]:
    """Serve on loopback; the key is in the environment."""
    monkeypatch.setenv(KEY_ENV, KEY)
    async with OpenAIService(Behaviour()).running() as running:
        yield running


def job(folder: Path, service: OpenAIService, *sets: str, rows: int = ROWS, fields: str = "") -> Config:
    for number in range(rows):
        draw(folder / "pictures" / f"p{number}.png", number)
    (folder / "manifest.csv").write_text("id,image\n" + "".join(f"r{n},pictures/p{n}.png\n" for n in range(rows)))
    (folder / "job.toml").write_text(
        f'[manifest]\npath = "{folder}/manifest.csv"\n[limits]\nqps = 0\n[output]\ndir = "{folder}/out"\n'
        'max_failed = "100%"\n[retry]\nfirst_wait = "10ms"\nmax_wait = "50ms"\n'
        f'[provider]\nname = "openai"\nmodel = "{MODEL}"\nendpoint = "{service.endpoint}"\n'
        "prices = { input = 0.40, output = 1.60 }\n" + fields
    )
    return load_config(folder / "job.toml", sets)


def records(config: Config) -> list[dict[str, Any]]:
    return lines_of(Path(config.output.dir) / "insights.jsonl")


def failures(config: Config) -> list[dict[str, Any]]:
    return lines_of(Path(config.output.dir) / "failures.jsonl")


def outcome(report: Report) -> tuple[int, int, int, int]:
    """Return exit code, records, failures and sends."""
    return report.exit_code, report.tally.records_written, report.tally.failures, report.traffic.sends


async def test_the_whole_road(tmp_path: Path, service: OpenAIService) -> None:
    """Planned, run, priced by the token, resumed without a call, read again from what is stored; each record valid."""
    config = job(tmp_path, service, fields=FIELDS)
    plan = make_plan(config)
    assert plan.calls == ROWS
    assert plan.cost > 0
    report = await run(config)
    assert outcome(report) == (0, ROWS, 0, ROWS)
    schema = Draft202012Validator(json_schema(config.provider.attributes_schema))
    for record in records(config):
        schema.validate(record)
        assert record["attributes"]["size"]["label"]
        usage = record["calls"]["usage"]
        assert usage["cost"] == pytest.approx((usage["tokens_in"] * 0.4 + usage["tokens_out"] * 1.6) / 1e6)
        assert record["calls"]["model"] == f"{MODEL}-2025-04-14"
        assert record["calls"]["trace_ids"][0].startswith("req_")
    assert report.traffic.cost == pytest.approx(sum(record["calls"]["usage"]["cost"] for record in records(config)))
    again = await run(config)
    assert outcome(again)[1:] == (0, 0, 0)
    before = records(config)
    assert (await renormalise(config)).rebuilt == ROWS
    assert records(config) == before


async def test_another_question_asks_again_and_the_old_one_costs_nothing(
    tmp_path: Path, service: OpenAIService
) -> None:
    """Model, prompt and fields are part of what an answer is stored under: changing them back needs no call."""
    config = job(tmp_path, service, rows=3)
    assert (await run(config)).traffic.sends == 3
    first = {record["id"]: record["tags"] for record in records(config)}
    changes = ('provider.prompt="We sell mugs."', 'provider.fields={ brand = "x" }', "provider.features=['text']")
    for change in changes:
        assert (await run(load_config(tmp_path / "job.toml", [change]))).traffic.sends == 3
    assert not any(record["tags"] for record in records(config))
    assert (await run(config)).traffic.sends == 0
    assert {record["id"]: record["tags"] for record in records(config)} == first
    dearer = load_config(tmp_path / "job.toml", ["provider.prices={ input = 1.0, output = 1.0 }"])
    assert (await run(dearer)).tally.done_before == 3


@pytest.mark.parametrize("name", ["openai", "ollama"])
async def test_the_shipped_configs_run(
    name: str, tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they are, but for the address: six rows of the sample catalogue, and for a model of one's own no key."""
    monkeypatch.chdir(project)
    if name == "openai":
        monkeypatch.setenv(KEY_ENV, KEY)
    else:
        monkeypatch.delenv(KEY_ENV, raising=False)
    config = load_config(f"configs/{name}.toml", [f"output.dir={tmp_path}/out"])
    behaviour = Behaviour(model=config.provider.model, needs_key=name == "openai")  # type: ignore[attr-defined] # its own key
    async with OpenAIService(behaviour).running() as service:
        moved = [f"output.dir={tmp_path}/out", f"provider.endpoint={service.endpoint}"]
        moved.append("provider.prices={ input = 0.4, output = 1.6 }")  # those of OpenAI hold at its own address alone
        report = await run(load_config(f"configs/{name}.toml", moved), limit=6)
    assert outcome(report) == (0, 6, 0, 6)
    assert max(max(seen.size) for seen in service.seen) <= 768
    assert ("attributes" in records(config)[0]) == (name == "openai")
    assert all(("max_tokens" in body) == (name == "ollama") for body in service.bodies)


async def test_a_wrong_key_costs_one_call(
    tmp_path: Path, service: OpenAIService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One call, exit 4, and the key is in no file."""
    monkeypatch.setenv(KEY_ENV, "sk-wrong-0123456789")
    config = job(tmp_path, service)
    report = await run(config)
    assert isinstance(report.cause, KeyRefused)
    assert outcome(report) == (4, 0, 0, 1)
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert b"sk-wrong" not in written


async def test_a_wrong_model_costs_one_call(tmp_path: Path, service: OpenAIService) -> None:
    """The settings are wrong for every row."""
    report = await run(job(tmp_path, service, 'provider.model="gpt-0"'))
    assert isinstance(report.cause, Misconfigured)
    assert outcome(report) == (2, 0, 0, 1)


async def test_a_used_up_quota_ends_the_run(tmp_path: Path, service: OpenAIService) -> None:
    """`insufficient_quota` comes as a 429, but no wait helps."""
    error = {"message": "You exceeded your current quota", "type": "insufficient_quota", "code": "insufficient_quota"}
    service.faults.append({"status": 429, "error": error})
    report = await run(job(tmp_path, service))
    assert isinstance(report.cause, QuotaUsedUp)
    assert outcome(report) == (5, 0, 0, 1)


async def test_a_service_without_schemas_is_found_out_by_the_first_call(tmp_path: Path, service: OpenAIService) -> None:
    """All others are asked with a plain JSON instruction; their answers are stored under the same question."""
    service.behaviour.knows_schemas = False
    config = job(tmp_path, service, fields=FIELDS)
    assert outcome(await run(config)) == (0, ROWS, 0, ROWS + 1)
    assert [seen.has_schema for seen in service.seen] == [True] + [False] * ROWS
    assert [seen.status for seen in service.seen] == [400] + [200] * ROWS
    service.behaviour.knows_schemas = True
    assert (await run(config)).traffic.sends == 0
    assert (await renormalise(config)).rebuilt == ROWS


async def test_a_service_that_knows_the_limit_by_its_other_name(tmp_path: Path, service: OpenAIService) -> None:
    """Found out by the first call as well."""
    service.behaviour.known_limit = "max_tokens"
    assert outcome(await run(job(tmp_path, service))) == (0, ROWS, 0, ROWS + 1)
    assert ["max_tokens" in body for body in service.bodies] == [False] + [True] * ROWS


async def test_an_answer_that_is_cut_off_is_asked_for_once_with_more_tokens(
    tmp_path: Path, service: OpenAIService
) -> None:
    """Once, for its row alone; where that is cut off too, the row fails by name and is not asked again.

    The run counts what all seven answers used, a record what its last one did.
    """
    service.faults.extend([{}, FAULTS["cut"], {}, FAULTS["cut"], FAULTS["cut"]])
    config = job(tmp_path, service, "limits.concurrency=1", rows=5)
    report = await run(config)
    assert outcome(report) == (1, 4, 1, 7)
    (used,) = report.traffic.usage
    by_record = {record["calls"]["usage"]["tokens_in"] for record in records(config)}
    assert by_record == {used.tokens_in / 7}
    assert [(seen.max_tokens, seen.ending) for seen in service.seen] == [
        (800, "stop"), (800, "length"), (3200, "stop"), (800, "length"), (3200, "length"), (800, "stop"), (800, "stop"),
    ]  # fmt: skip
    (failure,) = failures(config)
    assert (failure["code"], failure["attempts"], failure["retryable"]) == ("cut-off", 2, False)
    assert (await run(config)).traffic.sends == 0
    retry_failed(tmp_path / "out", "cut-off")
    assert outcome(await run(config))[1:] == (1, 0, 1)


async def test_a_limit_that_cuts_every_answer_is_raised_for_all(tmp_path: Path, service: OpenAIService) -> None:
    """Where the first answer is cut off, the others are sent with more tokens at once."""
    config = job(tmp_path, service, "provider.max_tokens=16")
    assert outcome(await run(config)) == (0, ROWS, 0, ROWS + 1)
    assert [seen.max_tokens for seen in service.seen] == [16] + [64] * ROWS


async def test_max_cost_is_exceeded_by_no_more_than_what_is_in_flight(tmp_path: Path, service: OpenAIService) -> None:
    """An estimate is reserved before each send, what was used is settled after it."""
    service.behaviour.latency = 0.05
    config = job(tmp_path, service, "limits.max_cost=0.006", "limits.concurrency=4")
    report = await run(config)
    assert isinstance(report.cause, QuotaUsedUp)
    assert report.exit_code == 5
    assert 0 < report.traffic.cost <= 0.006
    assert 1 < report.traffic.sends < ROWS
    assert (await run(job(tmp_path, service))).exit_code == 0


async def test_two_jobs_with_one_key_keep_both_limits(tmp_path: Path, service: OpenAIService) -> None:
    """Two runs, each with a pace in the same file: together no more calls in a second, and no more tokens than said."""
    limits = ["limits.qps=20", "limits.tokens_per_minute=600000", "limits.concurrency=4"]
    jobs = [job(tmp_path / name, service, *limits, rows=6) for name in "ab"]
    async with anyio.create_task_group() as tasks:
        for config in jobs:
            tasks.start_soon(run, config)
    assert [len(records(config)) for config in jobs] == [6, 6]
    stamps = sorted(seen.at for seen in service.seen)
    assert max(sum(start <= at < start + 1 for at in stamps) for start in stamps) <= 20
    tokens = sum(seen.tokens + seen.max_tokens for seen in service.seen[:-1])
    # The pace allows for lateness of one second, in which 10,000 tokens may be made up for; and calls arrive late.
    assert stamps[-1] - stamps[0] >= 0.95 * (tokens - 10_000) / 600_000 * 60


async def test_what_headers_say_is_left_is_spread_before_anything_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a word in the config, 40 calls of a service whose tokens last for 14 of them meet no refusal."""
    monkeypatch.setenv(KEY_ENV, KEY)
    async with OpenAIService(Behaviour(tpm=20_000, refill=20.0)).running() as service:
        config = job(tmp_path, service, rows=40)
        report = await run(config)
    assert outcome(report) == (0, 40, 0, 40)
    assert Counter(seen.status for seen in service.seen) == {200: 40}


async def test_every_row_ends_once_whatever_the_service_does(tmp_path: Path, service: OpenAIService) -> None:
    """Sixty rows, twelve fields, a fault in every third call: a valid record or a named failure, none paid twice."""
    rows = 60
    service.behaviour.rates = dict.fromkeys(FAULTS, 0.025)
    config = job(tmp_path, service, "retry.attempts=8", rows=rows, fields=FIELDS)
    report = await run(config)
    assert report.exit_code == 1
    schema = Draft202012Validator(json_schema(config.provider.attributes_schema))
    good, bad = records(config), failures(config)
    for record in good:
        schema.validate(record)
    ids = Counter([line["id"] for line in good + bad])
    assert (len(ids), set(ids.values())) == (rows, {1})
    assert {failure["code"] for failure in bad} <= {
        "cut-off", "refused-content", "answer-not-json", "answer-invalid", "blocked",
    }  # fmt: skip
    answered = Counter(seen.picture for seen in service.seen if seen.status == 200 and seen.ending == "stop")
    assert set(answered.values()) == {1}
    assert (await run(config)).traffic.sends == 0


async def test_the_schema_command_has_the_users_fields(tmp_path: Path, service: OpenAIService) -> None:
    """`image-insights schema CONFIG` prints the schema of this job's records."""
    from typer.testing import CliRunner

    from pipeline.cli import app

    config = job(tmp_path, service, fields=FIELDS)
    printed = orjson.loads(CliRunner().invoke(app, ["schema", str(tmp_path / "job.toml")]).stdout)
    assert printed == json_schema(config.provider.attributes_schema)
    assert list(printed["properties"]["attributes"]["properties"])[:2] == ["material", "colour"]
