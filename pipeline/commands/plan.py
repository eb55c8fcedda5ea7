"""What a run would do, without any call: rows, calls, cost, time, nights."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from math import ceil
from pathlib import Path

from pipeline.commands.expected_usage import ExpectedUsage
from pipeline.commands.row_requests import RowRequests
from pipeline.commands.schedule import MOST_NIGHTS, Caps, Nights, count_nights
from pipeline.config import Config, LimitsConfig, Share
from pipeline.errors import ExitCode, RowError
from pipeline.fetch.quota import ROUNDING, Spent
from pipeline.fetch.search_pages import stored_search_pages
from pipeline.local.backend import make_provider
from pipeline.manifest import open_manifest
from pipeline.manifest.search import SearchCursor
from pipeline.prepare.sources import PictureSources
from pipeline.providers.base import Provider
from pipeline.records import Failure
from pipeline.resume.changes import ChangeDetector, Changes, PendingRow
from pipeline.resume.pending import iter_manifest_changes
from pipeline.runner.policies import call_price, make_detector, oldest_answer, search_cursor, used_quota
from pipeline.runner.stop_conditions import next_time
from pipeline.sink.job_files import DATABASE, read_state
from pipeline.state.answer_store import AnswerStore
from pipeline.state.known_rows import KnownRows
from pipeline.wording import counted


@dataclass(slots=True)
class Plan:
    """Counts of rows by what they need, and of the calls that follow; `seconds` at the configured rate.

    `failures` counts, by code, the rows that fail without a call, or have failed before; more than `max_failed` of them
    end a run with exit code 3. `expected` is what these calls will use and cost, `further` how many calls more the rows
    may take at most. `is_new`: there is no job yet. `is_open`: the rows come from a search whose next page is still to
    be asked for, by one of these calls. `used` are the calls of this key that are counted today and this month, `spent`
    their cost; `now` is when it was made.
    """

    limits: LimitsConfig
    expected: ExpectedUsage
    max_failed: Share = field(default_factory=Share)
    not_before: float = 0.0
    rows: int = 0
    skipped: int = 0
    done: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    stored: int = 0
    to_ask: int = 0
    further: int = 0
    is_new: bool = False
    is_open: bool = False
    used: tuple[int, int] = (0, 0)
    spent: Spent = field(default_factory=Spent)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def failed(self) -> int:
        """How many rows fail without a call, or have failed before."""
        return self.failures.total()

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of a run in which every call is answered."""
        if self.max_failed.exceeded(self.failed, self.rows):
            return ExitCode.ABORTED
        return ExitCode.SOME_FAILED if self.failures else ExitCode.DONE

    @property
    def calls(self) -> int:
        """How many calls are needed at least."""
        return self.expected.calls

    @property
    def cost(self) -> float:
        """What they will cost."""
        return self.expected.cost

    @property
    def seconds(self) -> float | None:
        """How long the calls take at `qps`, None where it is as fast as the service answers."""
        return self.calls / self.limits.qps if self.limits.qps else None

    @property
    def caps(self) -> Caps:
        """What a night may send, by what limits a run, and by the calls and the cost per day and month."""
        limits = self.limits
        caps = [limits.calls_per_run]
        if limits.max_cost and self.cost:
            caps.append(self._paid_by(limits.max_cost))
        if limits.qps:
            caps += [max(1, int(seconds * limits.qps)) for seconds in _night_seconds(limits, self.now)]
        per_day, used_today = self._cap(limits.calls_per_day, self.used[0], limits.cost_per_day, self.spent.today)
        per_month, used_month = self._cap(limits.calls_per_month, self.used[1], limits.cost_per_month, self.spent.month)
        return Caps(
            per_run=min((cap for cap in caps if cap), default=0),
            per_day=per_day,
            per_month=per_month,
            used_today=used_today,
            used_month=used_month,
        )

    @property
    def payable(self) -> int:
        """How many of the calls cost_in_all still pays for."""
        if not self.limits.cost_in_all or not self.cost:
            return self.calls
        return min(self.calls, self._paid_by(self.limits.cost_in_all - self.spent.in_all))

    def _paid_by(self, money: float) -> int:
        """Return how many calls of this plan an amount pays for, as if each cost the same."""
        return max(0, int(money * (1 + ROUNDING) / (self.cost / self.calls)))

    def _cap(self, calls: int, used: int, money: float, spent: float) -> tuple[int, int]:
        """Return the stricter of a cap on calls and one on cost in calls, and what is used of it; 0 for none."""
        if not money or not self.cost:
            return calls, used
        paid = max(1, self._paid_by(money))
        cap = min(filter(None, (calls, paid)))
        room = min([self._paid_by(money - spent), *([calls - used] if calls else [])])
        return cap, cap - room

    @property
    def nights(self) -> Nights:
        """How many runs it takes, a run a night."""
        return count_nights(self.payable, self.caps, self.now.astimezone(UTC).date())

    def text(self) -> str:
        """Return the plan as lines for a reader."""
        pace = "as fast as the service answers" if self.seconds is None else f"{_clock(self.seconds)} at {_rate(self)}"
        more = "  (the search has to be asked first; then plan again)" if self.is_open else ""
        further = f"  (and at most {self.further} more: further pages, pictures sent again)" if self.further else ""
        return "\n".join(
            [
                f"rows              {self.rows}{more}",
                *([f"skipped           {self.skipped}  (without a picture of their own)"] if self.skipped else []),
                f"done already      {self.done}{'  (there is no job in output.dir yet)' if self.is_new else ''}",
                f"failed            {self.failed}{'  (without a call, or before)' if self.failures else ''}",
                *(f"  {code:<24} {count}" for code, count in self.failures.most_common()),
                f"same picture      {self.repeated}  (answered by another row's call)",
                f"stored answers    {self.stored}  (no call)",
                f"rows to ask       {self.to_ask}",
                f"calls needed      {self.calls}{further}",
                *self.expected.lines(),
                f"time              {pace}",
                f"nights            {self._nights()}",
                f"exit code         {self.exit_code:d}{self._why()}",
            ]
        )

    def _why(self) -> str:
        """Say why a run ends with its exit code, where that is not 0."""
        if self.exit_code == ExitCode.ABORTED:
            return f"  ({self.failed} of {counted(self.rows, 'row')} fail, more than output.max_failed allows)"
        return "  (done, but some rows fail)" if self.failures else ""

    def _nights(self) -> str:
        """Say how many nights it takes, and what bounds one."""
        nights, most, limits = self.nights, self.caps.per_night, self.limits
        said = [f"at most {most} calls each, the last on {nights.last}"] if most and nights.count else []
        if limits.stop_at and limits.qps:
            said.append(f"as if each began at {self.now.astimezone():%H:%M} and ended at stop_at")
        if self.payable < self.calls:
            said.append(f"cost_in_all pays for {self.payable} of the calls")
        if (limits.stop_at or limits.max_runtime) and not limits.qps:
            said.append("stop_at and max_runtime not counted: the service sets the pace")
        count = f"more than {MOST_NIGHTS}" if nights.more else str(nights.count)
        return f"{count}  ({'; '.join(said)})" if said and (nights.count or self.payable < self.calls) else count


def make_plan(config: Config) -> Plan:
    """Go through the rows against the ledger; local pictures that are new are read to tell equal ones."""
    provider = make_provider(config)
    folder = Path(config.output.dir)
    used = used_quota(config, provider)
    expected = ExpectedUsage(call_price=call_price(config.limits), learned=used.learned)
    plan = Plan(config.limits, expected, config.output.max_failed, is_new=not (folder / DATABASE).exists())
    plan.not_before = oldest_answer(config)
    plan.used, plan.spent = used.calls, used.spent
    cursor = None if config.manifest.path else search_cursor(config, provider)
    with ExitStack() as opened:
        known_rows, answers = opened.enter_context(_state(folder))
        sources = opened.enter_context(closing(PictureSources(config.prepare.max_file_bytes)))
        row_requests = RowRequests(provider, config.prepare, sources)
        detector = make_detector(config, provider, known_rows)
        for changes in _changes(config, provider, cursor, answers, detector, opened):
            plan.rows += changes.rows
            plan.done += changes.done_before
            plan.failures += changes.failed_before
            plan.skipped += changes.skipped
            for pending_row in changes.pending_rows:
                _add(plan, pending_row, row_requests, detector, known_rows)
    if cursor is not None and cursor.request is not None:
        plan.is_open = True
        plan.expected.add(provider.estimate(cursor.request))
    return plan


def _changes(
    config: Config,
    provider: Provider,
    cursor: SearchCursor | None,
    answers: AnswerStore,
    detector: ChangeDetector,
    opened: ExitStack,
) -> Iterable[Changes]:
    """Return what is to be done of the manifest, or of a search as far as its pages are stored."""
    if cursor is None:
        return iter_manifest_changes(opened.enter_context(open_manifest(config.manifest)), detector)
    return map(
        detector.detect, stored_search_pages(cursor, provider, partial(answers.get, not_before=oldest_answer(config)))
    )


def _add(
    plan: Plan, pending_row: PendingRow, row_requests: RowRequests, detector: ChangeDetector, known_rows: KnownRows
) -> None:
    row = pending_row.item
    if isinstance(row, Failure):
        plan.failures[row.code] += 1
        return
    try:
        requests = row_requests.requests(row)
        cache_key = detector.cache_key(pending_row, row_requests.picture(row))
    except RowError as exc:
        plan.failures[exc.code] += 1
        return
    if known_rows.is_answered(cache_key, not_before=plan.not_before):
        plan.stored += 1
    elif known_rows.note_seen({cache_key: row.line}):
        plan.repeated += 1
    else:
        plan.to_ask += 1
        plan.further += row_requests.provider.max_calls(row) - len(requests)
        for request in requests:
            plan.expected.add(row_requests.provider.estimate(request))


@contextmanager
def _state(folder: Path) -> Iterator[tuple[KnownRows, AnswerStore]]:
    """Open a job's rows and answers beside a run that may be going on; without any, empty ones, thrown away."""
    with (
        tempfile.TemporaryDirectory() as empty,
        read_state(folder if (folder / DATABASE).exists() else Path(empty)) as state,
    ):
        yield state.known_rows, state.answers


def _night_seconds(limits: LimitsConfig, begun: datetime) -> list[float]:
    """Return how long a run that begins at `begun` (aware) may take, by each limit there is."""
    until = [(next_time(limits.stop_at, begun) - begun).total_seconds()] if limits.stop_at else []
    return [*until, limits.max_runtime] if limits.max_runtime else until


def _rate(plan: Plan) -> str:
    return f"{plan.limits.qps:g} calls a second"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
