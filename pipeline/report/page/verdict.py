"""The part of the page that needs no script: how the run ended, what failed and how to retry it, what changed."""

from __future__ import annotations

import shlex
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any
from urllib.parse import quote

from pipeline.errors import ExitCode
from pipeline.guards.printable import printable
from pipeline.report.page.changes import LastChanges
from pipeline.wording import counted, money

PICTURES_PER_CODE = 3
_WEB = ("http://", "https://")
_SCHEMES = (*_WEB, "s3://", "gs://", "az://", "abfs://", "token:")


@dataclass(slots=True)
class FailedRows:
    """The rows that failed with one code: how many, the first message, and the first few by id, image and row key."""

    count: int = 0
    message: str = ""
    first: list[tuple[str, str, bytes]] = field(default_factory=list)

    def add(self, name: str, image: str, row_key: bytes, message: str) -> None:
        """Count a row."""
        self.count += 1
        self.message = self.message or message
        if len(self.first) < PICTURES_PER_CODE:
            self.first.append((name, image, row_key))


@dataclass(slots=True)
class Totals:
    """What the job has in its files: rows by status and failures by code."""

    statuses: dict[str, int] = field(default_factory=lambda: {"ok": 0, "empty": 0, "failed": 0})
    failures: dict[str, FailedRows] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """All rows that have a line."""
        return sum(self.statuses.values())


def verdict(run: Mapping[str, Any] | None, totals: Totals, copies: int) -> str:
    """Return how the job is and how its last run ended; `run` is run.json, None where no run has ended yet."""
    statuses = totals.statuses
    records = statuses["ok"] + statuses["empty"]
    code = run["exit_code"] if run else 0
    state = "bad" if code > ExitCode.SOME_FAILED else "some" if statuses["failed"] else "good"
    lead = f"{records:,} of {counted_rows(totals.rows)} {'has' if totals.rows == 1 else 'have'} a record"
    lead += f"; {statuses['failed']:,} failed" if statuses["failed"] else "; none failed"
    facts = [
        ("With insights", f"{statuses['ok']:,}"),
        ("Without any insight", f"{statuses['empty']:,}"),
        ("Failed", f"{statuses['failed']:,}"),
        ("Rows that are copies", f"{copies:,}"),
        *(_run_facts(run) if run else [("Last run", "none has ended yet")]),
    ]
    return f'<p class="lead {state}">{escape(lead)}.</p>{_why(run)}<dl class="facts">{_pairs(facts)}</dl>'


def failures(totals: Totals, base: str | None, thumbnails: Mapping[bytes, bytes], config: str) -> str:
    """Return the failed rows by code, most first, with pictures and the command that retries them."""
    if not totals.failures:
        return "<p>No row has failed.</p>"
    ordered = sorted(totals.failures.items(), key=lambda item: -item[1].count)
    return "".join(_code(code, rows, base, thumbnails, config) for code, rows in ordered)


def changes(changed: LastChanges) -> str:
    """Return what the last run that changed anything has changed, as counts."""
    if not changed.total:
        return "<p>No change has been noted.</p>"
    counts = ", ".join(f"{count:,} {kind}" for kind, count in changed.kinds.most_common())
    noted = f"{counted(changed.total, 'change')} noted at {_moment(changed.at)}: {counts}."
    return f"<p>{escape(printable(noted))}</p>"


def image_address(image: str, base: str | None) -> str:
    """Return the address of a picture relative to the page; empty where it is no local file."""
    if base is None or not image or image.startswith(_SCHEMES):
        return ""
    return base + quote(image, safe="/")


def data_url(webp: bytes) -> str:
    """Return a thumbnail as the address that holds it."""
    return f"data:image/webp;base64,{b64encode(webp).decode()}"


def counted_rows(count: int) -> str:
    """Return a number of rows in words."""
    return "1 row" if count == 1 else f"{count:,} rows"


def _why(run: Mapping[str, Any] | None) -> str:
    """Return why the last run ended early and when to go on, where it did."""
    if run is None or (run["reason"] == "finished" and not run["message"]):
        return ""
    reason = f"The last run ended early ({run['reason']})"
    message = f": {run['message']}" if run["message"] else ""
    later = f" Go on after {run['resume_after']}." if run["resume_after"] else ""
    return f'<p class="why">{escape(printable(f"{reason}{message}.{later}"))}</p>'


def _run_facts(run: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    rows, calls = run["rows"], run["calls"]
    yield "Last run began", _moment(run["started_at"])
    yield "Last run ended", _moment(run["ended_at"])
    yield "Why it ended", f"{run['reason']}, exit code {run['exit_code']}"
    yield "Go on after", _moment(run["resume_after"]) if run["resume_after"] else "any time"
    yield "Time", _duration(run["seconds"])
    yield "Rows left", "not known" if rows["left"] is None else f"{rows['left']:,}"
    yield "Skipped lines", f"{rows['skipped']:,}"
    yield "Calls", f"{calls['sent']:,}"
    yield "Rows from stored answers", f"{calls['rows_from_store']:,}"
    yield "Cost", money(calls["cost"])
    yield from map(_usage_fact, run.get("usage", ()))
    yield "Calls refused or failed", f"{calls['throttled'] + calls['faults']:,}"
    yield "Provider", run["provider"]


def _usage_fact(used: Mapping[str, Any]) -> tuple[str, str]:
    """Return what one model or feature cost, and what was used of it."""
    name = " ".join(filter(None, (used["model"], used["feature"]))) or used["provider"]
    parts = [f"{money(used['cost'])} {used['currency']}".strip()]
    parts += [f"{used['units']:,g} units"] if used["units"] else []
    parts += [f"{used['tokens_in']:,} tokens in, {used['tokens_out']:,} out"] if used["tokens_in"] else []
    return f"Cost of {name}", ", ".join(parts)


def _moment(text: str) -> str:
    """Return a time such as 2026-01-31T23:59:59Z for people."""
    return text.replace("T", " ").replace("Z", " UTC")


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _pairs(facts: Sequence[tuple[str, str]]) -> str:
    return "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(printable(value))}</dd></div>" for name, value in facts)


def _code(code: str, rows: FailedRows, base: str | None, thumbnails: Mapping[bytes, bytes], config: str) -> str:
    command = f"image-insights retry {shlex.quote(config)} --code {shlex.quote(code)}"
    pictures = "".join(_picture(name, image, base, thumbnails.get(key)) for name, image, key in rows.first)
    more = f"<li>and {rows.count - len(rows.first):,} more</li>" if rows.count > len(rows.first) else ""
    query = quote(f"code={code}")
    return (
        f'<article class="failure"><h3>{escape(printable(code))} <small>{counted_rows(rows.count)}</small></h3>'
        f"<p><bdi>{escape(printable(rows.message))}</bdi></p><ul>{pictures}{more}</ul>"
        f'<p><a class="needs-script" href="#q={query}">Show them in the grid</a></p>'
        f"<p>Try them again: <code>{escape(printable(command))}</code></p></article>"
    )


def _picture(name: str, image: str, base: str | None, webp: bytes | None) -> str:
    source = data_url(webp) if webp else image_address(image, base)
    shown = f'<img src="{escape(source)}" alt="">' if source else ""
    return f"<li>{shown}<bdi>{escape(printable(name))}</bdi></li>"
