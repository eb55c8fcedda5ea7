"""How far a job is: rows by outcome, answers stored, the last run; readable while a run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError
from pipeline.report.run_json import RUN_FILE, read_run_json
from pipeline.sink.job_files import DATABASE, read_state
from pipeline.state.ledger import State


def job_status(folder: Path) -> str:
    """Return the status of the job in `folder` as lines for a reader; raises UsageError where it never ran."""
    if not (folder / DATABASE).exists():
        raise UsageError(f"{folder} holds no job yet; begin it with: image-insights run")
    with read_state(folder) as state:
        counts = state.ledger.counts()
        failed = counts.get(State.FAILED, 0) + counts.get(State.RETRYABLE, 0)
        lines = [
            f"records         {counts.get(State.DONE, 0)}",
            f"failed          {failed}, of them {counts.get(State.RETRYABLE, 0)} tried again by the next run",
            *(f"  {code:<24} {count}" for code, count in state.ledger.failures().items()),
            f"stored answers  {state.answers.count()}",
        ]
    if (folder / RUN_FILE).exists():
        lines.append(f"last run        {_last_run(read_run_json(folder))}")
    return "\n".join(lines)


def _last_run(run: Mapping[str, Any]) -> str:
    """Return how a run ended, why, and when to go on, as far as its run.json says."""
    ended = f"ended {run['ended_at']}, {run['reason']}, exit code {run['exit_code']}"
    why = f": {run['message']}" if run["message"] else ""
    later = f"; go on after {run['resume_after']}" if run["resume_after"] else ""
    return ended + why + later
