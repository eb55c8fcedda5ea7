"""What a run would do, without any call: rows, calls, cost, time, nights."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from pipeline.config import Config, LimitsConfig
from pipeline.errors import RowError
from pipeline.job import make_probe
from pipeline.manifest import open_manifest
from pipeline.providers import PROVIDERS
from pipeline.providers.base import Provider
from pipeline.records import Failure, LocalFile, Prepared, Row, SourceFacts
from pipeline.sink.ledger import Ledger, chunks
from pipeline.sink.probe import Probe, Todo
from pipeline.sink.record import image_name

BATCH_ROWS = 500
# Stands for a picture that is prepared, to count the calls a row takes; nothing of it is sent.
_PICTURE = Prepared(
    source=SourceFacts(sha256="", width=1, height=1, bytes=1, format="JPEG"),
    data=b"\xff\xd8\xff\xd9",
    action="passed",
    width=1,
    height=1,
    format="JPEG",
    media_type="image/jpeg",
)


@dataclass(slots=True)
class Plan:
    """Counts of rows by what they need, and of the calls that follow; `seconds` at the configured rate."""

    limits: LimitsConfig
    rows: int = 0
    done: int = 0
    failed: int = 0
    repeated: int = 0
    stored: int = 0
    to_ask: int = 0
    calls: int = 0

    @property
    def cost(self) -> float:
        """What the calls cost, in the unit of cost_per_1000_calls."""
        return self.calls * self.limits.cost_per_1000_calls / 1000

    @property
    def seconds(self) -> float | None:
        """How long the calls take at `qps`, None where it is as fast as the service answers."""
        return self.calls / self.limits.qps if self.limits.qps else None

    @property
    def nights(self) -> int:
        """How many runs it takes within calls_per_run, calls_per_day, max_cost and max_runtime."""
        caps = [cap for cap in (self.limits.calls_per_run, self.limits.calls_per_day) if cap]
        if self.limits.max_cost and self.limits.cost_per_1000_calls:
            caps.append(max(1, int(self.limits.max_cost * 1000 / self.limits.cost_per_1000_calls)))
        if self.limits.max_runtime and self.limits.qps:
            caps.append(max(1, int(self.limits.max_runtime * self.limits.qps)))
        return ceil(self.calls / min(caps)) if caps else min(1, self.calls)

    def text(self) -> str:
        """Return the plan as lines for a reader."""
        pace = "as fast as the service answers" if self.seconds is None else f"{_clock(self.seconds)} at the quota"
        return "\n".join(
            [
                f"rows              {self.rows}",
                f"done already      {self.done}",
                f"failed, as before {self.failed}",
                f"same picture      {self.repeated}  (answered by another row's call)",
                f"stored answers    {self.stored}  (no call)",
                f"rows to ask       {self.to_ask}",
                f"calls needed      {self.calls}  (further pages not counted)",
                f"cost              {self.cost:.2f}",
                f"time              {pace}",
                f"nights            {self.nights}",
            ]
        )


def make_plan(config: Config) -> Plan:
    """Go through the manifest against the ledger; local pictures that are new are read to tell equal ones."""
    kind = PROVIDERS[config.provider.name]
    provider = kind.make(config.provider)
    plan = Plan(config.limits)
    with open_manifest(config.manifest) as manifest, _ledger(Path(config.output.dir)) as ledger:
        probe = make_probe(config, provider, ledger)
        for batch in chunks(manifest.rows(), BATCH_ROWS):
            sifted = probe.sift(batch)
            plan.rows += len(batch)
            plan.done += sifted.done_before
            plan.failed += len(sifted.failed_before)
            for todo in sifted.todo:
                _add(plan, todo, provider, probe, ledger)
    return plan


def _add(plan: Plan, todo: Todo, provider: Provider, probe: Probe, ledger: Ledger) -> None:
    row = todo.item
    calls = 0 if isinstance(row, Failure) else _calls(row, provider)
    if isinstance(row, Failure) or not calls:
        plan.failed += 1
        return
    question = probe.question(todo, _picture(row))
    if ledger.asked(question):
        plan.stored += 1
    elif ledger.see({question: row.line}):
        plan.repeated += 1
    else:
        plan.to_ask += 1
        plan.calls += calls


def _calls(row: Row, provider: Provider) -> int:
    """Return how many calls a row takes, 0 where it breaks a rule."""
    try:
        return len(provider.requests(row, _PICTURE if _is_sent_as_bytes(row, provider) else None))
    except RowError:
        return 0


def _is_sent_as_bytes(row: Row, provider: Provider) -> bool:
    return isinstance(row.image, LocalFile) or (not hasattr(row.image, "token") and "url" not in provider.limits.forms)


def _picture(row: Row) -> str:
    """Return what tells a row's picture from others: the content of a local file, else its name."""
    if isinstance(row.image, LocalFile):
        try:
            with row.image.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            pass
    return image_name(row.image)


@contextmanager
def _ledger(folder: Path) -> Iterator[Ledger]:
    """Open the job's ledger beside a run that may be going on; a job that never ran gets one that is thrown away."""
    with tempfile.TemporaryDirectory() as empty:
        path = folder / "state.db"
        with closing(Ledger(path if path.exists() else Path(empty) / "state.db")) as ledger:
            yield ledger


def _clock(seconds: float) -> str:
    minutes, rest = divmod(ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
