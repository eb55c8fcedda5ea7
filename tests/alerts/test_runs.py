"""Over nights: each alert fires once for each change, and what could not be sent is sent the next night."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from tenacity import wait_none

from pipeline.config import AlertSettings
from pipeline.errors import PipelineError, Signalled
from pipeline.report.run_json import Alerted
from pipeline.runner.alerts import tell
from pipeline.runner.stop import Stop
from pipeline.runner.wiring import Resources, Run, RunOptions
from pipeline.schema import Record
from pipeline.sink.job_files import open_job
from pipeline.sink.sink import write_batch
from tests.alerts.places import Webhook, running_webhook
from tests.jobs import finished_record, make_record
from tests.running import load, write_config


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    monkeypatch.setattr("pipeline.alerts.delivery.Sender.__init__.__kwdefaults__", {"wait": wait_none()})
    with running_webhook() as running:
        yield running


def mug(price: float, **other: Any) -> Record:
    offer = {"url": "https://shop.example.com/mug", "price": price, "currency": "EUR"}
    return make_record("mug", offers=[offer], **other)


def night(
    folder: Path,
    *records: Record,
    alerts: tuple[AlertSettings, ...],
    failed: int = 0,
    cause: PipelineError | None = None,
) -> Alerted:
    """Do what a run does with records: write them, then tell of what has changed."""
    config = load(write_config(folder / "job.toml", Path("x.csv"), "http://127.0.0.1:1/v7.0"))
    config = config.model_copy(update={"alerts": alerts})
    with open_job(folder / "out") as job:
        job.state.history.begin_run()
        resources = Resources(key=None, manifest=None, job=job, meter=None, changes_before=job.changes.length)  # type: ignore[arg-type] # nothing is sent
        run = Run(config, RunOptions(), resources, Stop(), datetime.now(UTC))
        for record in records:
            write_batch(job, [finished_record(record)])
        run.tally.records_written = len(records)
        run.tally.failed["truncated"] = failed
        run.tally.ok = 10
        return anyio.run(tell, run, cause)


def test_an_alert_fires_once_for_a_change(tmp_path: Path, webhook: Webhook) -> None:
    """Not on first sight, not again while nothing changes, with what was, what is, and the limit."""
    alerts = (AlertSettings(when="price < 20", name="sale", webhook=webhook.url),)
    for price in (25.0, 18.0, 18.0, 17.0, 30.0, 19.0):
        night(tmp_path, mug(price), alerts=alerts)
    messages = [orjson.loads(body) for _, body in webhook.received]
    assert [(message["run"], message["count"]) for message in messages] == [(2, 1), (6, 1)]
    (change,) = messages[0]["changes"]
    assert (change["id"], change["before"], change["after"], change["limit"]) == ("mug", 25.0, 18.0, 20.0)
    assert messages[0]["text"].splitlines() == [
        f"sale ({tmp_path / 'out'})",
        "1 change",
        "mug: offers.price: 25.0 -> 18.0 EUR (https://shop.example.com/mug), below 20",
    ]


def test_a_webhook_that_fails_is_tried_again_the_next_night(tmp_path: Path, webhook: Webhook) -> None:
    """The message is the same, with the same id; nothing is lost, and nothing sent twice."""
    alerts = (AlertSettings(when="price < 20", webhook=webhook.url),)
    night(tmp_path, mug(25.0), alerts=alerts)
    webhook.statuses = [503] * 3
    failed = night(tmp_path, mug(18.0), alerts=alerts)
    assert (failed.fired, failed.sent, failed.waiting) == (1, 0, 1)
    assert failed.problems == ("alert 'price < 20': the webhook answered with status 503; the next run tries again",)
    assert (sent := night(tmp_path, alerts=alerts)).sent == 1
    assert (sent.fired, sent.waiting) == (0, 0)
    night(tmp_path, alerts=alerts)
    assert len(webhook.received) == 4
    assert len({body for _, body in webhook.received}) == 1


def test_a_run_that_was_stopped_tells_the_next_night(tmp_path: Path, webhook: Webhook) -> None:
    """A signal leaves no time for messages; they wait."""
    alerts = (AlertSettings(when="price < 20", webhook=webhook.url),)
    night(tmp_path, mug(25.0), alerts=alerts)
    stopped = night(tmp_path, mug(18.0), alerts=alerts, cause=Signalled("SIGTERM", 15))
    assert (stopped.waiting, webhook.received) == (1, [])
    assert night(tmp_path, alerts=alerts).sent == 1


def test_changes_of_a_run_that_was_killed_are_told_by_the_next(tmp_path: Path, webhook: Webhook) -> None:
    """What was committed and not judged yet is judged once."""
    alerts = (AlertSettings(when="price < 20", webhook=webhook.url),)
    night(tmp_path, mug(25.0), alerts=alerts)
    with open_job(tmp_path / "out") as job:
        write_batch(job, [finished_record(mug(18.0))])
    assert [night(tmp_path, alerts=alerts).sent for _ in range(2)] == [1, 0]


def test_a_new_alert_is_silent_about_the_past(tmp_path: Path, webhook: Webhook) -> None:
    """Changes from before it was written into the config are judged already."""
    for price in (25.0, 18.0):
        night(tmp_path, mug(price), alerts=())
    assert night(tmp_path, alerts=(AlertSettings(when="price < 20", webhook=webhook.url),)).fired == 0


def test_an_alert_on_the_run_fires_when_it_begins_to_hold(tmp_path: Path, webhook: Webhook) -> None:
    """And again only after it has ceased to."""
    alerts = (AlertSettings(when="failed > 2", webhook=webhook.url, exit_code=20),)
    fired = [night(tmp_path, alerts=alerts, failed=failed) for failed in (0, 3, 4, 1, 5)]
    assert [each.fired for each in fired] == [0, 1, 0, 0, 1]
    assert [each.exit_code for each in fired] == [0, 20, 0, 0, 20]
    assert b"3 of 13 rows have failed (limit 2)" in webhook.received[0][1]


def test_days_without_a_record_are_noticed(tmp_path: Path) -> None:
    """Counted from the last record that a run has written."""
    alerts = (AlertSettings(when="nothing done for 3d", exit_code=20),)
    assert night(tmp_path, mug(1.0), alerts=alerts).fired == 0
    assert night(tmp_path, alerts=alerts).fired == 0
    with open_job(tmp_path / "out") as job:
        job.state.notices.note_record(job.state.notices.last_record_at() - 4 * 86400)
    assert night(tmp_path, alerts=alerts).exit_code == 20


def test_messages_of_an_alert_that_is_gone_are_dropped(tmp_path: Path, webhook: Webhook) -> None:
    """Somebody who took it out of the config wants to hear no more."""
    alerts = (AlertSettings(when="price < 20", webhook=webhook.url),)
    night(tmp_path, mug(25.0), alerts=alerts)
    night(tmp_path, mug(18.0), alerts=alerts, cause=Signalled("SIGTERM", 15))
    assert night(tmp_path, alerts=()).sent == 0
    assert night(tmp_path, alerts=alerts).sent == 0


def test_the_command_tries_every_way(tmp_path: Path) -> None:
    """`alerts test` says of each what came of it, and ends with 3 where one fails."""
    config = write_config(tmp_path / "job.toml", Path("x.csv"), "http://127.0.0.1:1/v7.0")
    with running_webhook() as hook:
        config.write_text(
            config.read_text()
            + f'\n[[alerts]]\nwhen = "price < 20"\nname = "sale"\nwebhook = "{hook.url}"\ncommand = ["true"]\n'
            + '\n[[alerts]]\nwhen = "failed > 5%"\nexit_code = 20\n'
        )
        command = [sys.executable, "-m", "pipeline", "alerts", "test", str(config)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
        assert done.stdout.splitlines() == ["alerts[0] (sale), command: sent", "alerts[0] (sale), webhook: sent"]
        assert orjson.loads(hook.received[0][1])["test"] is True
        hook.statuses = [404]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert (done.returncode, "the webhook refused the message with status 404" in done.stderr) == (3, True)
