"""Marks failed rows, so that the next run tries them again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.sink.job_files import must_exist, open_job
from pipeline.wording import counted


def retry_failed(folder: Path, code: str | None) -> str:
    """Mark the failed rows of a job, or only those with a code, and return what was done as a sentence.

    Raises UsageError where there is no job, JobLocked and OutputError.
    """
    must_exist(folder)
    with open_job(folder) as job:
        codes = job.state.ledger.failures()
        count = job.state.ledger.retry(code)
    rows = counted(count, "failed row")
    if count:
        return f"the next run tries {rows} again"
    return f"no row was marked; {_codes(codes)}"


def _codes(failures: Mapping[str, int]) -> str:
    if not failures:
        return "no row has failed"
    listed = ", ".join(f"{code} ({counted(count, 'row')})" for code, count in failures.items())
    return f"the codes of failed rows are: {listed}"
