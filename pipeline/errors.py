"""The one error tree of the project, and the exit codes its leaves end a run with.

PipelineError
├── UsageError               exit 2: nothing was sent
│   ├── ConfigError          the config file, every problem at once
│   ├── TableError           a manifest or a catalogue can't be read at all, or lacks a column
│   └── Misconfigured        the service itself says that the request's settings are wrong
├── RowError                 one row fails; its stage turns it into a Failure, it never crosses a stage
│   ├── LineError            a line of a table is no row
│   ├── SourceError          the picture's bytes can't be had
│   ├── PrepareError         the bytes are no picture that can be sent
│   └── RequestError         the row asks for what the service's documents forbid
├── StopRun                  the run drains, commits, and exits with the code of the leaf
│   ├── TooManyFailures      exit 3
│   ├── RowsMissing          exit 2: rows of earlier runs are gone: all, or more than may be removed
│   ├── PicturesMissing      exit 3: many pictures that had their records are gone at once
│   ├── OutputError          exit 3: disk full, output or ledger not writable
│   ├── Stalled              exit 3: nothing moved for too long
│   ├── PacerLost            exit 3: the pacer shared with other machines can't be reached
│   ├── Unreachable          exit 3: nobody answers where the service should be; resume later
│   ├── SearchFailed         exit 3: the search that the rows come from got no answer
│   ├── KeyRefused           exit 4
│   ├── QuotaUsedUp          exit 5
│   ├── DeadlineReached      exit 6
│   ├── StopRequested        exit 3: the program that called the library asked for it
│   └── Signalled            exit 128 + signal
├── AlertError               exit 3: a message of an alert can't be sent; a run goes on, and tries again the next time
├── JobLocked                exit 7: another run holds the lock
├── ServiceError             exit 3: the embedded service can't start or has died
└── InternalError            exit 3: a bug; the cause is chained
"""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum


class ExitCode(IntEnum):
    """What a command tells cron (README, "Exit codes")."""

    DONE = 0
    SOME_FAILED = 1
    USAGE = 2
    ABORTED = 3
    KEY_REFUSED = 4
    QUOTA = 5
    DEADLINE = 6
    LOCKED = 7


class PipelineError(Exception):
    """Anything this project raises on purpose; its text is one sentence for the user."""

    exit_code: int = ExitCode.ABORTED


class UsageError(PipelineError):
    """Wrong config, manifest or usage, noticed before anything was sent."""

    exit_code = ExitCode.USAGE


class ConfigError(UsageError):
    """The config is wrong; `problems` holds one sentence for each, with its key path."""

    def __init__(self, place: str, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(f"{place}: {problem}" for problem in problems))


class TableError(UsageError):
    """A manifest or a catalogue can't be read at all, or lacks a column that the config names."""


class Misconfigured(UsageError):
    """The service refuses the settings of the request, so every further row would fail alike."""


class RowError(PipelineError):
    """One row fails with a stable `code` (kebab-case) and a sentence; `retryable`: later runs try it again."""

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        self.code = code
        self.retryable = retryable
        super().__init__(message)


class LineError(RowError):
    """A line of a manifest or a catalogue is no row: unreadable, or its id, image or crop breaks a rule."""


class SourceError(RowError):
    """The picture's bytes can't be had: no such file, a refused address, a failed download."""


class PrepareError(RowError):
    """The bytes are no picture that can be sent: truncated, a bomb, an unknown format."""


class RequestError(RowError):
    """The row breaks a documented rule of the service and is not sent: an unknown market, a crop out of order."""


class StopRun(PipelineError):
    """Ends the run: what is in flight is finished and committed; the process exits with `exit_code`."""

    reason: str = "aborted"

    def __init__(self, message: str, *, resume_after: datetime | None = None) -> None:
        self.resume_after = resume_after
        super().__init__(message)


class TooManyFailures(StopRun):
    """More rows failed than `output.max_failed` allows, or too many one after another."""

    reason = "too-many-failures"


class RowsMissing(StopRun):
    """The manifest has lost its rows, or more of them than `output.max_removed` allows; nothing was removed."""

    reason = "rows-missing"
    exit_code = ExitCode.USAGE


class PicturesMissing(StopRun):
    """Many pictures that had their records can't be read any more; nothing was replaced."""

    reason = "pictures-missing"


class OutputError(StopRun):
    """The output folder or the ledger can't be written: disk full, permissions."""

    reason = "output"


class Stalled(StopRun):
    """Nothing moved for longer than the stall watch allows."""

    reason = "stalled"


class PacerLost(StopRun):
    """The pacer that several machines share can't be reached any more, so nothing may be sent."""

    reason = "pacer-lost"


class Unreachable(StopRun):
    """Nobody answers where the service should be; rows are left for the next run."""

    reason = "unreachable"


class SearchFailed(StopRun):
    """The search that the rows come from got no answer, however often it was sent."""

    reason = "search-failed"


class KeyRefused(StopRun):
    """The service refuses the key or its permission (401, 403 InsufficientAuthorization)."""

    reason = "key-refused"
    exit_code = ExitCode.KEY_REFUSED


class QuotaUsedUp(StopRun):
    """The service's or our own quota of calls is used up; `resume_after` says when to go on."""

    reason = "quota"
    exit_code = ExitCode.QUOTA


class DeadlineReached(StopRun):
    """`max_runtime` or `stop_at` has come."""

    reason = "deadline"
    exit_code = ExitCode.DEADLINE


class StopRequested(StopRun):
    """The program that runs the job as a library asked it to stop."""

    reason = "stopped"


class Signalled(StopRun):
    """SIGINT, SIGTERM or SIGHUP arrived."""

    reason = "signal"

    def __init__(self, signal_name: str, number: int) -> None:
        self.exit_code = 128 + number
        super().__init__(f"stopped by {signal_name}")


class AlertError(PipelineError):
    """A message of an alert can't be sent; what the place it goes to repeats of our secrets is left out."""


class JobLocked(PipelineError):
    """Another run of the same job holds its lock."""

    exit_code = ExitCode.LOCKED


class InternalError(PipelineError):
    """A bug of this project: the run ends, what was committed is safe, and the cause is told whole."""


class ServiceError(PipelineError):
    """The embedded insights service can't start, or has died."""
