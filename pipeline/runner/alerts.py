"""Tells of what a run has found: judges its changes once, and sends what waits."""

from __future__ import annotations

import os
import time
from hashlib import sha256
from pathlib import Path

import anyio

from pipeline.alerts.conditions import RunFacts
from pipeline.alerts.delivery import Sender
from pipeline.alerts.judge import JudgedPlace, judge, ways_of
from pipeline.alerts.messages import test_message
from pipeline.config import AlertSettings, Config
from pipeline.errors import AlertError, PipelineError, Signalled
from pipeline.report.run_json import Alerted
from pipeline.runner.wiring import Run
from pipeline.sink.changes_file import read_changes
from pipeline.sink.job_files import CHANGES
from pipeline.state.notices import Notice, Notices


async def tell(run: Run, cause: PipelineError | None) -> Alerted:
    """Judge what this run has found, and send the messages that wait, unless a signal has ended it; see Alerted."""
    alerts, notices = run.config.alerts, run.resources.job.state.notices
    fired = await anyio.to_thread.run_sync(_judge, run)
    problems: list[str] = []
    sent = 0
    if not isinstance(cause, Signalled):
        sender = Sender(environ=os.environ)
        for notice in notices.waiting():
            sent += await _send(sender, notices, alerts, notice, run.config, problems)
    exit_code = next((alert.exit_code for alert in fired if alert.exit_code), 0)
    waiting = len(notices.waiting()) if alerts else 0
    return Alerted(fired=len(fired), sent=sent, waiting=waiting, exit_code=exit_code, problems=tuple(problems))


async def try_alerts(config: Config) -> list[str]:
    """Send a test message by every way of every alert; return a line for each. Raises AlertError where one fails."""
    sender, lines, failed = Sender(environ=os.environ), [], []
    for number, alert in enumerate(config.alerts):
        for way in ways_of(alert):
            place = f"alerts[{number}] ({alert.title}), {way}"
            message = test_message(alert, config.output.dir)
            try:
                await sender.send(alert, way, message, f"{_job_id(config)}-test-{number}-{int(time.time())}")
            except AlertError as exc:
                failed.append(f"{place}: {exc}")
            else:
                lines.append(f"{place}: sent")
    if failed:
        raise AlertError("; ".join(failed))
    return lines


def _judge(run: Run) -> list[AlertSettings]:
    job, now = run.resources.job, int(time.time())
    notices = job.state.notices
    if run.tally.records_written or not notices.last_record_at():
        notices.note_record(now)
    idle = float(now - notices.last_record_at())
    facts = RunFacts(failed=run.tally.failures, rows=run.tally.finished, idle_seconds=idle)
    # A file that was moved away is shorter than what was judged of it.
    start = min(notices.judged(), run.resources.changes_before)
    changes = read_changes(job.folder / CHANGES, start=start, end=job.changes.length) if run.config.alerts else ()
    place = JudgedPlace(job=run.config.output.dir, run=job.state.history.run(), end=job.changes.length)
    return judge(run.config.alerts, notices, changes, facts, place)


async def _send(
    sender: Sender,
    notices: Notices,
    alerts: tuple[AlertSettings, ...],
    notice: Notice,
    config: Config,
    problems: list[str],
) -> bool:
    """Send one message; return False where it waits on, or where its alert is gone from the config."""
    alert = next((alert for alert in alerts if alert.title == notice.alert and notice.way in ways_of(alert)), None)
    if alert is not None:
        try:
            message_id = f"{_job_id(config)}-{notice.message['run']}-{notice.number}"
            await sender.send(alert, notice.way, notice.message, message_id)
        except AlertError as exc:
            problems.append(f"alert {notice.alert!r}: {exc}; the next run tries again")
            notices.tried(notice.number)
            return False
    notices.drop(notice.number)
    return alert is not None


def _job_id(config: Config) -> str:
    return sha256(str(Path(config.output.dir).resolve()).encode()).hexdigest()[:12]
