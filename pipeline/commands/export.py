"""Write the records of one job, or of several that share their ids, as tables for other tools."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path

from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.export.columns import Column, renamed
from pipeline.export.formats import format_of, open_tables
from pipeline.export.tables import PICTURES, ChildTable, Row, Table, child_tables, picture_columns
from pipeline.sink.job_files import STATES
from pipeline.sink.job_lines import JobLines, Line, read_lines
from pipeline.wording import counted

# The line of a row in each job, empty where a job has none.
RowLines = Sequence[Line]
_JOB = Column(name="job", kind="text", read=itemgetter("job"))


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedJob:
    """A job by its name in column names: that of its config's file."""

    name: str
    config: Config


def name_jobs(paths: Sequence[Path], configs: Sequence[Config]) -> list[NamedJob]:
    """Name each job by its config's file; the second of a name gets a number."""
    columns = renamed(Column(name=path.stem, kind="text", read=itemgetter(path.stem)) for path in paths)
    return [NamedJob(name=column.name, config=config) for column, config in zip(columns, configs, strict=True)]


def export(jobs: Sequence[NamedJob], out: Path, tables: Sequence[str]) -> str:
    """Write the flat table of the jobs and the child tables named in `tables`; return what was written in one line.

    Rows come in the order of the first manifest, then those that only later jobs have. Memory is flat. Raises
    UsageError for a wrong file, table or folder, and OutputError.
    """
    format_of(out)
    for job in jobs:
        _refuse_to_overwrite(job.config, out)
    joined = _JoinedTables(jobs, child_tables(tables))
    counts: Counter[str] = Counter()
    with ExitStack() as opened:
        lines = [opened.enter_context(read_lines(Path(job.config.output.dir))) for job in jobs]
        batches = opened.enter_context(open_tables(out, joined.tables))
        for row_lines in _joined_rows(lines):
            for table, rows in joined.rows(row_lines):
                batches.add(table, rows)
                counts[table.name] += len(rows)
    children = ", ".join(f"{table.name} {counts[table.name]}" for table in joined.tables[1:])
    return f"{counted(counts[PICTURES], 'row')} written to {out}" + (
        f"; rows of its tables: {children}" if children else ""
    )


class _JoinedTables:
    """The tables of one job or several: those of several name the job in each column, or in a column of their own."""

    def __init__(self, jobs: Sequence[NamedJob], children: Sequence[ChildTable]) -> None:
        self._jobs = jobs
        self._columns = [picture_columns(job.config.manifest.carry)[1:] for job in jobs]
        self._children = children
        self._is_joined = len(jobs) > 1
        self.tables = [Table(name=PICTURES, columns=self._picture_columns()), *map(self._child_table, children)]

    def rows(self, lines: RowLines) -> Iterator[tuple[Table, list[Row]]]:
        """Yield each table with the rows that come from one row of the manifest."""
        row_id = next(line["id"] for line in lines if line)
        cells = (column.read(line) for columns, line in zip(self._columns, lines, strict=True) for column in columns)
        yield self.tables[0], [(row_id, *cells)]
        for table, child in zip(self.tables[1:], self._children, strict=True):
            yield table, list(self._child_rows(child, row_id, lines))

    def _picture_columns(self) -> tuple[Column, ...]:
        columns = list(picture_columns()[:1])
        for job, own in zip(self._jobs, self._columns, strict=True):
            prefix = f"{job.name}_" if self._is_joined else ""
            columns += [replace(column, name=prefix + column.name) for column in own]
        return renamed(columns)

    def _child_table(self, child: ChildTable) -> Table:
        return replace(child.table, columns=(_JOB, *child.table.columns)) if self._is_joined else child.table

    def _child_rows(self, child: ChildTable, row_id: str, lines: RowLines) -> Iterator[Row]:
        for job, line in zip(self._jobs, lines, strict=True):
            rows = child.rows(row_id, line)
            yield from ((job.name, *row) for row in rows) if self._is_joined else rows


def _refuse_to_overwrite(config: Config, out: Path) -> None:
    """Raise UsageError where `out` is what a job reads or keeps."""
    kept = [Path(config.output.dir) / name for name in STATES]
    if out.resolve() in [path.resolve() for path in (*kept, Path(config.manifest.path))]:
        raise UsageError(f"{out} is a file that the job needs; choose another name for the export")


def _joined_rows(jobs: Sequence[JobLines]) -> Iterator[RowLines]:
    """Yield the lines of each row in all jobs; a row comes with the first job that has it."""
    for number, job in enumerate(jobs):
        for key, line in job.in_manifest_order():
            if all(earlier.line(key) is None for earlier in jobs[:number]):
                later = [other.line(key) or {} for other in jobs[number + 1 :]]
                yield [*({} for _ in range(number)), line, *later]
