"""Writes report.html from the files of a job: reads every row once, and keeps only what goes into the page."""

from __future__ import annotations

import os
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline.config import Config
from pipeline.errors import TableError
from pipeline.guards.printable import printable
from pipeline.manifest.opening import picture_folder
from pipeline.report.copies import Copies, Group
from pipeline.report.page.changes import LastChanges, last_changes
from pipeline.report.page.document import document
from pipeline.report.page.entries import entry, seconds
from pipeline.report.page.packing import Pack, script_json
from pipeline.report.page.rate import rate_chart
from pipeline.report.page.verdict import FailedRows, Totals, changes, counted_rows, failures, verdict
from pipeline.report.run_json import RUN_FILE, read_run_json
from pipeline.resume.keys import row_key
from pipeline.sink.job_files import INSIGHTS
from pipeline.sink.job_lines import CurrentLine, current_lines
from pipeline.sink.output import write_atomically
from pipeline.sink.thumbnails import Thumbnails

REPORT_FILE = "report.html"
# Browsers bear 25 MB: the rows come first, then whole records, then thumbnails with what is left.
_MOST_BYTES = 24_000_000
_MOST_ROW_BYTES = 15_000_000
_MOST_RECORD_BYTES = 3_000_000
_MOST_THUMBNAIL_BYTES = 8_000_000
_ROWS_PER_PIECE, _RECORDS_PER_PIECE = 2000, 50
_MOST_GROUPS = 2000


@dataclass(slots=True)
class _Gathered:
    """What one pass over the rows gathers; `keys` are the row keys of the page's rows, in their order."""

    totals: Totals = field(default_factory=Totals)
    rows: Pack = field(default_factory=lambda: Pack(_ROWS_PER_PIECE, _MOST_ROW_BYTES))
    records: Pack = field(default_factory=lambda: Pack(_RECORDS_PER_PIECE, _MOST_RECORD_BYTES))
    keys: list[bytes] = field(default_factory=list)
    copies: Copies = field(default_factory=Copies)
    good: Counter[int] = field(default_factory=Counter)
    bad: Counter[int] = field(default_factory=Counter)
    from_the_web: bool = False

    def add(self, line: CurrentLine, carry: tuple[str, ...]) -> None:
        """Take in a row."""
        content = line.content
        place = len(self.keys) if self.rows.add(entry(line, carry)) else -1
        if place >= 0:
            self.keys.append(line.row_key)
            self.records.add(content)
        if line.is_record:
            self._add_record(place, content)
        else:
            self._add_failure(line.row_key, content)

    def _add_record(self, place: int, record: dict[str, Any]) -> None:
        self.totals.statuses[record["status"]] += 1
        self.good[seconds(record["asked_at"])] += 1
        self.copies.add(place, record)
        self.from_the_web = self.from_the_web or "url" in record["source"]

    def _add_failure(self, key: bytes, failure: dict[str, Any]) -> None:
        self.totals.statuses["failed"] += 1
        self.bad[seconds(failure["at"])] += 1
        image = str(failure.get("image") or "")
        self.from_the_web = self.from_the_web or image.startswith("http")
        failed = self.totals.failures.setdefault(failure["code"], FailedRows())
        failed.add(failure.get("id") or f"line {failure['line']}", image, key, failure["message"])


def write_page(config: Config, folder: Path) -> Path:
    """Write report.html of the job in `folder` and return its path.

    Raises UsageError where the job never ran, and OutputError where its files can't be read or written.
    """
    gathered = _Gathered()
    for line in current_lines(folder):
        gathered.add(line, config.manifest.carry)
    gathered.rows.finish()
    gathered.records.finish()
    path = folder / REPORT_FILE
    write_atomically(path, b"".join(_document(config, folder, gathered)))
    return path


def _document(config: Config, folder: Path, gathered: _Gathered) -> Iterator[bytes]:
    run = read_run_json(folder) if (folder / RUN_FILE).exists() else None
    totals, groups, changed = gathered.totals, list(gathered.copies.groups()), last_changes(folder)
    base = _pictures_base(config, folder)
    thumbnails = _thumbnails(folder, gathered, groups, changed)
    name = escape(printable(folder.resolve().name))
    parts = {
        "title": f"<title>{name}: image insights</title>",
        "name": name,
        "verdict": verdict(run, totals, sum(len(group.copies) for group in groups)),
        "failures": failures(totals, base, thumbnails, config.path or "CONFIG"),
        "changes": changes(changed),
        "rate": _rate(run, gathered),
        "left_out": _left_out(gathered),
        **_data(config, base, gathered, groups, changed, thumbnails),
    }
    return document(parts, from_the_web=gathered.from_the_web)


def _data(
    config: Config,
    base: str | None,
    gathered: _Gathered,
    groups: Sequence[Group],
    changed: LastChanges,
    thumbnails: Mapping[bytes, bytes],
) -> dict[str, str]:
    """Return the data blocks of the page."""
    facts = {
        "rows": gathered.rows.count,
        "records": gathered.records.count,
        "per_piece": _RECORDS_PER_PIECE,
        "carry": config.manifest.carry,
        "base": base,
        "file": INSIGHTS,
        "groups": [_group(group) for group in groups[:_MOST_GROUPS]],
        "changes": changed.as_json(),
    }
    places = {key: place for place, key in enumerate(gathered.keys)}
    shown = {str(places[key]): b64encode(webp).decode() for key, webp in thumbnails.items() if key in places}
    return {
        "facts": _script("facts", script_json(facts)),
        "thumbnails": _script("thumbnails", script_json(shown)),
        "rows": "".join(_packed("rows", piece) for piece in gathered.rows.pieces),
        "records": "".join(_packed("records", piece) for piece in gathered.records.pieces),
    }


def _group(group: Group) -> list[list[Any]]:
    """Return a group as the page holds it: row, id, kind and score of each picture, the one to keep first."""
    kept = group.kept
    return [[kept.row, kept.id, "keep", 1.0], *([c.picture.row, c.picture.id, c.kind, c.score] for c in group.copies)]


def _rate(run: Mapping[str, Any] | None, gathered: _Gathered) -> str:
    chart = ""
    if run is not None:
        chart = rate_chart(gathered.good, gathered.bad, seconds(run["started_at"]), seconds(run["ended_at"]))
    return chart or "<p>The last run finished no row.</p>"


def _left_out(gathered: _Gathered) -> str:
    """Say what the page doesn't hold of the job, if anything."""
    missing = gathered.totals.rows - gathered.rows.count
    if not missing:
        return ""
    return f'<p class="why">There is no room here for {counted_rows(missing)}, which are in {INSIGHTS}.</p>'


def _thumbnails(folder: Path, gathered: _Gathered, groups: Sequence[Group], changed: LastChanges) -> dict[bytes, bytes]:
    """Return thumbnails by row key within the budget: of rows that failed, changed or have copies, then of the first.

    Base64 makes them a third larger.
    """
    room = _MOST_BYTES - gathered.rows.size - gathered.records.size
    first = chain(
        (key for failed in gathered.totals.failures.values() for _, _, key in failed.first),
        (row_key(change.id) for change in changed.shown),
        (row_key(picture.id) for group in groups for picture in (group.kept, *(c.picture for c in group.copies))),
        gathered.keys,
    )
    return Thumbnails(folder).get(first, min(room, _MOST_THUMBNAIL_BYTES) * 3 // 4)


def _pictures_base(config: Config, folder: Path) -> str | None:
    """Return where the paths of pictures start, as an address relative to the page; None where they are no files."""
    try:
        root = picture_folder(config.manifest)
    except TableError:  # the manifest is gone
        return None
    if root is None:
        return None
    way = os.path.relpath(os.path.realpath(root), folder.resolve())
    return quote(way, safe="/") + "/"


def _script(name: str, content: str) -> str:
    return f'<script type="application/json" id="{name}">{content}</script>'


def _packed(name: str, piece: bytes) -> str:
    return f'<script type="text/plain" class="{name}">{piece.decode()}</script>'
