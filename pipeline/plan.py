"""What a run would do, without any call: rows, calls, cost, time, nights."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path

from pipeline.backend import make_provider
from pipeline.config import Config, LimitsConfig
from pipeline.errors import RowError
from pipeline.fetch.found import stored_batches
from pipeline.manifest import open_manifest
from pipeline.manifest.found import Finding
from pipeline.providers.base import Provider
from pipeline.records import Failure, LocalFile, Prepared, Row, SourceFacts
from pipeline.sink.answers import AnswerStore
from pipeline.sink.ledger import Ledger
from pipeline.sink.probe import Probe, Sifted, Todo
from pipeline.sink.record import image_name
from pipeline.sink.sift import sift_manifest
from pipeline.terms import find, make_probe, oldest_answer, run_cap

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
    """Counts of rows by what they need, and of the calls that follow; `seconds` at the configured rate.

    `is_open`: the rows come from a search whose next page is still to be asked for, by one of these calls.
    """

    limits: LimitsConfig
    not_before: float = 0.0
    rows: int = 0
    done: int = 0
    failed: int = 0
    repeated: int = 0
    stored: int = 0
    to_ask: int = 0
    calls: int = 0
    is_open: bool = False

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
        caps = [cap for cap in (run_cap(self.limits)[0], self.limits.calls_per_day) if cap]
        if self.limits.max_runtime and self.limits.qps:
            caps.append(max(1, int(self.limits.max_runtime * self.limits.qps)))
        return ceil(self.calls / min(caps)) if caps else min(1, self.calls)

    def text(self) -> str:
        """Return the plan as lines for a reader."""
        pace = "as fast as the service answers" if self.seconds is None else f"{_clock(self.seconds)} at the quota"
        more = "  (the search has to be asked first; then plan again)" if self.is_open else ""
        return "\n".join(
            [
                f"rows              {self.rows}{more}",
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
    """Go through the rows against the ledger; local pictures that are new are read to tell equal ones."""
    provider = make_provider(config)
    plan = Plan(config.limits, not_before=oldest_answer(config))
    finding = None if config.manifest.path else find(config, provider)
    with ExitStack() as opened:
        ledger, answers = opened.enter_context(_state(Path(config.output.dir)))
        probe = make_probe(config, provider, ledger)
        for sifted in _sifted(config, provider, finding, answers, probe, opened):
            plan.rows += sifted.rows
            plan.done += sifted.done_before
            plan.failed += sifted.failed_before.total()
            for todo in sifted.todo:
                _add(plan, todo, provider, probe, ledger)
    if finding is not None and finding.request is not None:
        plan.is_open = True
        plan.calls += 1
    return plan


def _sifted(
    config: Config, provider: Provider, finding: Finding | None, answers: AnswerStore, probe: Probe, opened: ExitStack
) -> Iterable[Sifted]:
    """Return what is to be done of the manifest, or of a search as far as its pages are stored."""
    if finding is None:
        return sift_manifest(opened.enter_context(open_manifest(config.manifest)), probe)
    return map(probe.sift, stored_batches(finding, provider, partial(answers.get, not_before=oldest_answer(config))))


def _add(plan: Plan, todo: Todo, provider: Provider, probe: Probe, ledger: Ledger) -> None:
    row = todo.item
    calls = 0 if isinstance(row, Failure) else _calls(row, provider)
    if isinstance(row, Failure) or not calls:
        plan.failed += 1
        return
    question = probe.question(todo, _picture(row))
    if ledger.asked(question, not_before=plan.not_before):
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
            with Path(row.image.path).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            pass
    return image_name(row.image)


@contextmanager
def _state(folder: Path) -> Iterator[tuple[Ledger, AnswerStore]]:
    """Open a job's ledger and answers beside a run that may be going on; without any, empty ones, thrown away."""
    with tempfile.TemporaryDirectory() as empty:
        path = folder / "state.db"
        path = path if path.exists() else Path(empty) / "state.db"
        with closing(Ledger(path)) as ledger, closing(AnswerStore(path)) as answers:
            yield ledger, answers


def _clock(seconds: float) -> str:
    minutes, rest = divmod(ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
