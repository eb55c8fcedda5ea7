"""Lists the groups of copies in a job's records: for people, for a table, or for a program."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import orjson

from pipeline.guards.printable import printable
from pipeline.report.copies import Copies, Copy, DuplicatesForm, Group, Picture, Preference
from pipeline.sink.job_lines import current_lines
from pipeline.wording import counted

_COLUMNS = ("group", "keep", "kind", "score", "id", "path", "width", "height", "bytes", "format", "published")


def list_duplicates(folder: Path, form: DuplicatesForm, keep: Preference) -> str:
    """Return the groups of copies of the job in `folder`; raises UsageError where there is no job, and OutputError."""
    copies = Copies()
    for row, line in enumerate(current_lines(folder)):
        if line.is_record:
            copies.add(row, line.content)
    groups = list(copies.groups(keep))
    match form:
        case DuplicatesForm.TEXT:
            return _as_text(groups)
        case DuplicatesForm.CSV:
            return _as_csv(groups)
        case DuplicatesForm.JSON:
            return orjson.dumps([_as_json(group) for group in groups], option=orjson.OPT_INDENT_2).decode()


def _as_text(groups: Sequence[Group]) -> str:
    rows = sum(len(group.copies) for group in groups)
    lines = [f"{counted(len(groups), 'group')} of copies; {counted(rows, 'row')} beside those to keep"]
    for group in groups:
        lines += ["", f"keep      {_named(group.kept)}"]
        lines += [f"{copy.kind:<9} {_named(copy.picture)}{_percent(copy)}" for copy in group.copies]
    return "\n".join(lines)


def _named(picture: Picture) -> str:
    path = f" ({picture.path})" if picture.path and picture.path != picture.id else ""
    size = f", {picture.width} x {picture.height} px, {picture.bytes:,} bytes" if picture.bytes else ""
    return printable(f"{picture.id}{path}{size}{f', {picture.format}' if picture.format else ''}")


def _percent(copy: Copy) -> str:
    return "" if copy.kind == "exact" else f", agrees by {100 * copy.score:.0f} %"


def _as_csv(groups: Sequence[Group]) -> str:
    """Return one line for each picture; the groups are numbered from 1."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for number, group in enumerate(groups, 1):
        writer.writerow([number, "yes", "", "", *_facts(group.kept).values()])
        for copy in group.copies:
            writer.writerow([number, "no", copy.kind, copy.score, *_facts(copy.picture).values()])
    return file.getvalue().rstrip("\n")


def _as_json(group: Group) -> dict[str, object]:
    copies = [{"kind": copy.kind, "score": copy.score, **_facts(copy.picture)} for copy in group.copies]
    return {"keep": _facts(group.kept), "copies": copies}


def _facts(picture: Picture) -> dict[str, object]:
    return {name: getattr(picture, name) for name in _COLUMNS[4:]}
