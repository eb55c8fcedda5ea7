"""Changes as text for a terminal, and as a page of HTML that runs no script and loads nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby
from operator import attrgetter
from typing import Any

from pipeline.changes.change import Change, Difference
from pipeline.changes.net import count_changes
from pipeline.guards.printable import printable

_MOST_CHARS = 200
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid #8886; }}
td {{ overflow-wrap: anywhere; }}
</style>
<h1>{title}</h1>
<p>{counts}</p>
<table>
<thead>
<tr><th scope="col">Row</th><th scope="col">What</th><th scope="col">Before</th><th scope="col">After</th></tr>
</thead>
<tbody>
{rows}
</tbody>
</table>
</html>
"""


def changes_as_text(changes: Sequence[Change], since: str) -> str:
    """Return the changes with their counts, row by row."""
    lines = [_headline(changes, since), *([_counts(changes)] if changes else [])]
    for row_id, of_row in groupby(sorted(changes, key=attrgetter("id")), key=attrgetter("id")):
        lines += ["", printable(row_id), *(f"  {describe(change.difference)}" for change in of_row)]
    return "\n".join(lines)


def changes_as_html(changes: Sequence[Change], since: str) -> str:
    """Return the changes as one page; every text in it is only ever text."""
    rows = "\n".join(map(_html_row, sorted(changes, key=attrgetter("id"))))
    return _PAGE.format(title=escape(_headline(changes, since)), counts=escape(_counts(changes)), rows=rows)


def describe(difference: Difference) -> str:
    """Return a difference as one line: what, the item, before -> after."""
    what = difference.field or difference.kind
    before, after = shown(difference.before), shown(difference.after)
    if difference.kind in {"added", "removed"}:
        return f"{difference.kind} ({after or before})"
    if difference.item in {before, after} and not (before and after):
        return (
            f"{what} {'+' if after else '-'} {difference.item}" if difference.item else f"{what}: {before} -> {after}"
        )
    currency = f" {difference.currency}" if difference.currency else ""
    where = f" ({printable(difference.item)})" if difference.item else ""
    return f"{what}: {before or 'nothing'} -> {after or 'nothing'}{currency}{where}"


def shown(value: Any) -> str:
    """Return a value as one line of bounded length, empty for None."""
    text = "" if value is None else printable(str(value))
    return text if len(text) <= _MOST_CHARS else f"{text[: _MOST_CHARS - 1]}…"


def _headline(changes: Sequence[Change], since: str) -> str:
    count = len(changes)
    return f"{count or 'no'} change{'' if count == 1 else 's'} since {since}"


def _counts(changes: Iterable[Change]) -> str:
    return ", ".join(f"{name} {count}" for name, count in count_changes(changes).items())


def _html_row(change: Change) -> str:
    difference = change.difference
    what = change.name + (f" {difference.item}" if difference.item else "")
    cells = (
        change.id,
        what,
        _with_currency(difference.before, difference),
        _with_currency(difference.after, difference),
    )
    return "<tr>" + "".join(f"<td>{escape(shown(cell))}</td>" for cell in cells) + "</tr>"


def _with_currency(value: Any, difference: Difference) -> str:
    return f"{shown(value)} {difference.currency}" if difference.currency and value is not None else shown(value)
