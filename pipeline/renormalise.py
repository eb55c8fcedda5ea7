"""Rebuild every record from the stored answers: a better reader improves old records, and no call is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import orjson

from pipeline.backend import make_provider
from pipeline.config import Config
from pipeline.providers.base import Provider
from pipeline.providers.merge import join
from pipeline.records import Crop, Reading, Request
from pipeline.schema import Insights, Record
from pipeline.sink.compact import rewrite
from pipeline.sink.job import INSIGHTS, STATES, Job, open_job
from pipeline.sink.record import encode, says_something

_HEAD = ("schema", "id", "status", "provider", "asked_at", "carry", "source", "sent", "calls", "market")


@dataclass(slots=True)
class Renormalised:
    """How many records were rebuilt, and how many were kept because their answers are not stored or don't read."""

    rebuilt: int = 0
    kept: int = 0

    def text(self) -> str:
        """Return the outcome in one line."""
        return f"{self.rebuilt} records rebuilt from stored answers, {self.kept} kept as they were, 0 calls"


def renormalise(config: Config) -> Renormalised:
    """Replace insights.jsonl, atomically, by one whose records are read anew from the stored answers."""
    provider = make_provider(config)
    counts = Renormalised()

    def change(key: bytes, line: bytes) -> bytes:
        record = cast("Record", orjson.loads(line))
        insights = _read_again(record, job, key, provider) if record["provider"] == provider.name else None
        if insights is None:
            counts.kept += 1
            return line
        counts.rebuilt += 1
        head = {name: record[name] for name in _HEAD if name in record}  # type: ignore[literal-required] # names of Record
        head["status"] = "ok" if says_something(insights) else "empty"
        return encode(cast("Record", head | insights))

    with open_job(Path(config.output.dir)) as job:
        rewrite(job.ledger, job.folder / INSIGHTS, STATES[INSIGHTS], change)
    return counts


def _read_again(record: Record, job: Job, key: bytes, provider: Provider) -> Insights | None:
    """Read a record's stored answers, None where one is missing or is no success."""
    reading: Reading | None = None
    for fingerprint in job.ledger.prints(key):
        answer = job.answers.get(fingerprint)
        outcome = provider.read(_request(record), answer) if answer else None
        if not isinstance(outcome, Reading):
            return None
        reading = join(reading, outcome)
    return _with_reasons(reading.insights, record) if reading else None


def _with_reasons(insights: Insights, record: Record) -> Insights:
    """Keep why something is unavailable where the request told it and not the answer."""
    kinds = {item["kind"] for item in insights["unavailable"]}
    kept = [item for item in record["unavailable"] if item["kind"] not in kinds]
    return {**insights, "unavailable": [*insights["unavailable"], *kept]}


def _request(record: Record) -> Request:
    """Return what reading needs of the request that was made: its form and its crop."""
    crop = record["sent"].get("crop")
    return Request(method="POST", target="", form=record["sent"]["form"], crop=Crop(**crop) if crop else None)
