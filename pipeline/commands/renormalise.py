"""Rebuild every record from the stored answers: a better reader improves old records, without a call."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import orjson

from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.local.backend import make_provider
from pipeline.providers.base import Provider
from pipeline.providers.merge import join
from pipeline.records import Crop, Reading, Request
from pipeline.runner.job import rebuild
from pipeline.runner.stop import Stop
from pipeline.schema import Insights, Record
from pipeline.sink.compact import rewrite
from pipeline.sink.job_files import INSIGHTS, STATES, must_exist, open_job
from pipeline.sink.output_lines import encode, says_something, without_itself
from pipeline.state.job_state import JobState
from pipeline.state.ledger import State

_HEAD = {
    "schema", "id", "ordinal", "provider", "asked_at", "carry", "source", "sent", "calls", "market", "search_result"
}  # fmt: skip


@dataclass(slots=True)
class Renormalised:
    """How many records were rebuilt, and how many were kept because their answers are not stored or don't read.

    `lost` counts rows whose lines the output has lost and that could not be made again.
    """

    rebuilt: int = 0
    kept: int = 0
    lost: int = 0

    def text(self) -> str:
        """Return the outcome in one line."""
        lost = f"; {self.lost} rows have lost their line, which the next run makes again" if self.lost else ""
        return f"{self.rebuilt} records rebuilt from stored answers, {self.kept} kept as they were, 0 calls{lost}"


async def renormalise(config: Config, stop: Stop | None = None) -> Renormalised:
    """Replace insights.jsonl, atomically, by one whose records are read again from the stored answers.

    Records that it has lost are made again first, from their rows and pictures. Raises UsageError where these rows came
    from stdin, and what ends a run.
    """
    folder = Path(config.output.dir)
    must_exist(folder)
    if lost := _lost(folder):
        _must_be_there(config, lost)
        await rebuild(config, stop)
    return _rewrite(config)  # in no thread: nothing else runs, and a signal would have to wait for its end


def _must_be_there(config: Config, lost: int) -> None:
    """Refuse to wait for a manifest that only a run is given."""
    if config.manifest.path == "-":
        raise UsageError(
            f"manifest.path: {lost} rows have lost their lines, and their manifest came from stdin; give it to "
            "`image-insights run` again, which makes them again without a call, and then renormalise"
        )


def _lost(folder: Path) -> int:
    """Return how many rows have lost their line."""
    with open_job(folder) as job:
        return job.state.ledger.counts().get(State.WAITING, 0)


def _rewrite(config: Config) -> Renormalised:
    provider = make_provider(config)
    counts = Renormalised()

    def change(row_key: bytes, line: bytes) -> bytes:
        record = cast("Record", orjson.loads(line))
        insights = _read_again(record, job.state, row_key, provider) if record["provider"] == provider.name else None
        if insights is None:
            counts.kept += 1
            return line
        counts.rebuilt += 1
        insights = without_itself(insights, record["id"], record["source"].get("sha256"))
        return encode(_with_insights(record, insights))

    with open_job(Path(config.output.dir)) as job:
        rewrite(job.state.files, INSIGHTS, job.outputs[INSIGHTS].path, STATES[INSIGHTS], change)
        counts.lost = job.state.ledger.counts().get(State.WAITING, 0)
    return counts


def _read_again(record: Record, state: JobState, row_key: bytes, provider: Provider) -> Insights | None:
    """Read a record's stored answers with their requests, None where one is missing or is no success."""
    reading: Reading | None = None
    is_whole = True
    for fingerprint in state.known_rows.fingerprints(row_key):
        exchange = state.answers.exchange(fingerprint)
        if exchange is None:
            return None
        is_whole = is_whole and exchange.request is not None
        outcome = provider.read(exchange.request or _layout_2_request(record), exchange.answer)
        if not isinstance(outcome, Reading):
            return None
        reading = join(reading, outcome)
    if reading is None:
        return None
    return reading.insights if is_whole else _with_layout_2_reasons(reading.insights, record)


def _with_insights(record: Record, insights: Insights) -> Record:
    """Return a record with other insights, its fields in the order they had."""
    head = {name: value for name, value in record.items() if name in _HEAD}
    changed: dict[str, object] = {**head, "status": "ok" if says_something(insights) else "empty", **insights}
    return cast("Record", {name: changed[name] for name in (*record, *changed) if name in changed})


def _layout_2_request(record: Record) -> Request:
    """Return what is known of a request that state.db did not keep up to layout 2: its form and its crop."""
    crop = record["sent"].get("crop")
    return Request(method="POST", target="", form=record["sent"]["form"], crop=Crop(**crop) if crop else None)


def _with_layout_2_reasons(insights: Insights, record: Record) -> Insights:
    """Keep why something is unavailable, as far as that came from a request that state.db did not keep."""
    kinds = {item["kind"] for item in insights["unavailable"]}
    kept = [item for item in record["unavailable"] if item["kind"] not in kinds and not insights.get(item["kind"])]
    return {**insights, "unavailable": [*insights["unavailable"], *kept]}
