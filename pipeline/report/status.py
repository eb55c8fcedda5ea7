"""Where a job stands: rows by outcome, answers stored, the last run; readable while a run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.report.run_json import RUN_FILE, read_run_json
from pipeline.state.answers import AnswerStore
from pipeline.state.ledger import Ledger, State


def job_status(config: Config) -> str:
    """Return the status as lines for a reader; raises UsageError where the job never ran."""
    folder = Path(config.output.dir)
    path = folder / "state.db"
    if not path.exists():
        raise UsageError(f"{folder} holds no job yet; begin it with: image-insights run")
    with closing(Ledger(path)) as ledger, closing(AnswerStore(path)) as answers:
        counts = ledger.counts()
        failed = counts.get(State.FAILED, 0) + counts.get(State.RETRYABLE, 0)
        lines = [
            f"records         {counts.get(State.DONE, 0)}",
            f"failed          {failed}, of them {counts.get(State.RETRYABLE, 0)} tried again by the next run",
            *(f"  {code:<24} {count}" for code, count in ledger.failures().items()),
            f"stored answers  {answers.count()}",
        ]
    if (folder / RUN_FILE).exists():
        lines.append(f"last run        {_told(read_run_json(folder))}")
    return "\n".join(lines)


def _told(run: Mapping[str, Any]) -> str:
    """Say how a run ended, why, and when to go on, as far as its run.json says."""
    ended = f"ended {run['ended_at']}, {run['reason']}, exit code {run['exit_code']}"
    why = f": {run['message']}" if run["message"] else ""
    later = f"; go on after {run['resume_after']}" if run["resume_after"] else ""
    return ended + why + later
