"""Exports are read back with the tools that they are for, and say the same as the records."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from pipeline.commands.export import NamedJob, export, name_jobs
from pipeline.config import Config
from pipeline.errors import OutputError, UsageError
from pipeline.export import workbook
from pipeline.export.formats import FORMATS
from pipeline.records import Failure
from pipeline.resume.keys import row_key
from pipeline.schema import Record
from pipeline.sink.finish import compact_job
from pipeline.sink.job_files import INSIGHTS, open_job
from pipeline.sink.job_lines import read_lines
from pipeline.sink.sink import write_batch
from tests.jobs import failure_of, finished_failure, finished_record, make_record, write_job
from tests.rows import make_failure
from tests.running import lines_of, load, write_config

OFFER = {"name": "Mug", "price": 12.5, "currency": "EUR", "availability": "InStock", "url": "https://a.example/"}
WITH_OFFERS: list[Record | Failure] = [
    make_record("007", 0, carry={"title": 'Teal, "big"\nmug'}, offers=[OFFER, {**OFFER, "price": 11.0}]),
    make_record("b", 1, carry={"title": "=1+1"}, tags=[{"name": "t", "sources": [], "actions": []}]),
    failure_of("c", 2),
]
WITHOUT_OFFERS: list[Record | Failure] = [make_record("007", 0), make_record("b", 1, status="empty")]
Table = list[dict[str, Any]]


def read_parquet(path: Path) -> Table:
    rows: Table = pytest.importorskip("pyarrow.parquet").read_table(path).to_pylist()
    return rows


def read_with_pandas(path: Path) -> Table:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.read_parquet(path)
    rows: Table = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return rows


def read_duckdb(path: Path) -> Table:
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    with duckdb.connect(str(path), read_only=True) as database:
        result = database.execute("SELECT * FROM pictures")
        names = [column[0] for column in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def read_workbook(path: Path) -> Table:
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is not installed")
    names, *rows = openpyxl.load_workbook(path)["pictures"].iter_rows(values_only=True)
    return [dict(zip(names, row, strict=True)) for row in rows]


def read_json(path: Path) -> Table:
    return lines_of(path)


READERS: dict[str, Callable[[Path], Table]] = {
    "a.parquet": read_parquet,
    "b.parquet": read_with_pandas,
    "c.duckdb": read_duckdb,
    "d.xlsx": read_workbook,
    "e.jsonl": read_json,
}


@pytest.fixture
def job(tmp_path: Path) -> NamedJob:
    """Return a job that carries a title; its folder is empty."""
    manifest = {"path": str(tmp_path / "catalogue.csv"), "carry": ["title"]}
    return make_job(tmp_path / "job.toml", tmp_path / "out", manifest)


def make_job(path: Path, folder: Path, manifest: Mapping[str, object]) -> NamedJob:
    config = load(
        write_config(path, Path("x.csv"), "http://127.0.0.1:1/v7.0", manifest=manifest, output={"dir": str(folder)})
    )
    (named,) = name_jobs([path], [config])
    return named


def folder_of(config: Config) -> Path:
    return Path(config.output.dir)


@pytest.mark.parametrize("name", READERS)
def test_each_tool_reads_what_the_records_say(tmp_path: Path, job: NamedJob, name: str) -> None:
    """One row a picture, in the order of the manifest, ids as text, the failed row with its reason."""
    write_job(folder_of(job.config), [WITH_OFFERS[1], WITH_OFFERS[2], WITH_OFFERS[0]])
    _needs(name)
    said = export([job], tmp_path / name, [])
    assert said == f"3 rows written to {tmp_path / name}"
    rows = READERS[name](tmp_path / name)
    wanted = ["id", "ordinal", "status", "carry_title", "tags", "offers_count", "lowest_price", "calls_from_store"]
    assert [[row[column] for column in wanted] for row in rows] == [
        ["007", 0, "ok", 'Teal, "big"\nmug', None, 2, 11.0, False],
        ["b", 1, "ok", "=1+1", "t", 0, None, False],
        ["c", 2, "failed", None, None, None, None, None],
    ]
    assert rows[2]["failure_code"] == "truncated"


def _needs(name: str) -> None:
    if name.endswith(".duckdb"):
        pytest.importorskip("duckdb", reason="duckdb is not installed")
    if name.endswith(".xlsx"):
        pytest.importorskip("openpyxl", reason="openpyxl is not installed")


def test_types_are_the_same_from_night_to_night(tmp_path: Path, job: NamedJob) -> None:
    """A night without offers, tags or failures has the schema of one with them, in every table."""
    parquet = pytest.importorskip("pyarrow.parquet")
    schemas = []
    for number, night in enumerate([WITH_OFFERS, WITHOUT_OFFERS, []]):
        folder = tmp_path / str(number)
        write_job(folder, night)
        output = job.config.output.model_copy(update={"dir": str(folder)})
        config = job.config.model_copy(update={"output": output})
        export([replace(job, config=config)], tmp_path / f"{number}.parquet", ["all"])
        files = sorted(tmp_path.glob(f"{number}*.parquet"))
        schemas.append([parquet.read_schema(path) for path in files])
    assert schemas[0] == schemas[1] == schemas[2]
    assert len(schemas[0]) > 15
    types = {field.name: str(field.type) for field in parquet.read_schema(tmp_path / "0.parquet")}
    assert (types["id"], types["ordinal"], types["lowest_price"]) == ("string", "int64", "double")


def test_csv_is_read_back_by_pandas(tmp_path: Path, job: NamedJob) -> None:
    """With ids as text, as the README says: pandas turns "007" into 7 otherwise."""
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    write_job(folder_of(job.config), WITH_OFFERS)
    export([job], tmp_path / "a.csv", ["offers"])
    frame = pandas.read_csv(tmp_path / "a.csv", dtype={"id": str})
    assert list(frame["id"]) == ["007", "b", "c"]
    assert frame["lowest_price"][0] == 11.0
    assert list(pandas.read_csv(tmp_path / "a.offers.csv", dtype={"id": str})["price"]) == [12.5, 11.0]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_a_csv_is_a_formula(tmp_path: Path, job: NamedJob, start: str) -> None:
    """Text that a spreadsheet would run gets an apostrophe; numbers stay numbers, also below zero."""
    evil = f"{start}HYPERLINK(1)"
    offer = {"name": evil, "price": -1.5}
    write_job(folder_of(job.config), [make_record(evil, carry={"title": evil}, offers=[offer])])
    export([job], tmp_path / "a.csv", ["offers"])
    text = b"".join((tmp_path / name).read_bytes() for name in ("a.csv", "a.offers.csv")).decode()
    assert f"'{start}HYPERLINK" in text
    assert f",{start}HYPERLINK" not in text
    assert f'"{start}HYPERLINK' not in text
    assert f"\n{start}HYPERLINK" not in text
    assert ",-1.5," in text


def test_no_cell_of_a_workbook_is_a_formula(tmp_path: Path, job: NamedJob) -> None:
    """Text stays what it is, and its cell says that it is text; what a cell can't hold is cut or replaced."""
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is not installed")
    write_job(folder_of(job.config), [make_record("=1+1", carry={"title": "\x01" + "x" * 40_000})])
    export([job], tmp_path / "a.xlsx", [])
    sheet = openpyxl.load_workbook(tmp_path / "a.xlsx")["pictures"]
    title = next(cell.column for cell in sheet[1] if cell.value == "carry_title")
    assert (sheet["A2"].value, sheet["A2"].data_type) == ("=1+1", "s")
    assert len(sheet.cell(2, title).value) == workbook.MOST_CHARS


def test_a_sheet_that_would_be_too_long_is_refused(
    tmp_path: Path, job: NamedJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence names the formats that hold more, and no half of a file is left."""
    pytest.importorskip("openpyxl", reason="openpyxl is not installed")
    monkeypatch.setattr(workbook, "MOST_ROWS", 3)
    write_job(folder_of(job.config), WITH_OFFERS)
    with pytest.raises(UsageError, match=r"holds 3 rows, and the table pictures has more; choose \.parquet or \.csv"):
        export([job], tmp_path / "a.xlsx", [])
    assert not list(tmp_path.glob("*a.xlsx*"))


def test_jobs_of_one_catalogue_are_joined_by_id(tmp_path: Path) -> None:
    """A row has what each job knows, in the order of the first manifest; what only a later job has comes last."""
    web, text = (make_job(tmp_path / f"{name}.toml", tmp_path / name, {}) for name in ("web", "text"))
    write_job(tmp_path / "web", [make_record("b", 0, offers=[OFFER]), make_record("a", 1)])
    write_job(tmp_path / "text", [make_record("c", 0), make_record("b", 1, text={"full": "TEA"})])
    export([web, text], tmp_path / "all.jsonl", ["offers"])
    columns = ["id", "web_status", "web_offers_count", "text_text_full", "text_status"]
    assert [[row[column] for column in columns] for row in lines_of(tmp_path / "all.jsonl")] == [
        ["b", "ok", 1, "TEA", "ok"],
        ["a", "ok", 0, None, None],
        ["c", None, None, None, "ok"],
    ]
    (offer,) = lines_of(tmp_path / "all.offers.jsonl")
    assert (offer["job"], offer["id"], offer["price"]) == ("web", "b", 12.5)


def test_a_line_without_an_id_of_its_own_is_no_row(tmp_path: Path, job: NamedJob) -> None:
    """A broken line and a repeated id are failures of lines: no id comes twice in a table."""
    repeated = finished_failure(failure_of("a", 2, "repeated-id"))
    of_line = replace(repeated, entry=replace(repeated.entry, row_key=b"of a line".ljust(16)))
    with open_job(folder_of(job.config)) as opened:
        write_batch(opened, [finished_record(make_record("a", 0)), finished_failure(make_failure(2)), of_line])
    export([job], tmp_path / "a.jsonl", [])
    assert [row["id"] for row in lines_of(tmp_path / "a.jsonl")] == ["a"]


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("a.xml", r"the extension says no format; end the name in one of \.parquet, \.csv"),
        ("out/insights.jsonl", "is a file that the job needs; choose another name"),
        ("catalogue.csv", "is a file that the job needs; choose another name"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, job: NamedJob, out: str, said: str) -> None:
    """Neither the manifest nor the records are overwritten."""
    write_job(folder_of(job.config), WITH_OFFERS)
    before = (tmp_path / "out" / INSIGHTS).read_bytes()
    with pytest.raises(UsageError, match=said):
        export([job], tmp_path / out, [])
    assert (tmp_path / "out" / INSIGHTS).read_bytes() == before


def test_a_record_that_was_edited_is_refused(tmp_path: Path, job: NamedJob) -> None:
    """A table never says what no run wrote; no half of a file is left."""
    write_job(folder_of(job.config), WITH_OFFERS)
    path = tmp_path / "out" / INSIGHTS
    path.write_bytes(path.read_bytes().replace(b'"id":"b"', b'"id":"x"'))
    with pytest.raises(OutputError, match=r"insights\.jsonl is not what was written there"):
        export([job], tmp_path / "a.jsonl", [])
    assert not list(tmp_path.glob("*a.jsonl*"))


def test_a_missing_package_is_named(tmp_path: Path, job: NamedJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says what to install."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    write_job(folder_of(job.config), WITH_OFFERS)
    with pytest.raises(UsageError, match=r'without the package pyarrow; install the extra "export"'):
        export([job], tmp_path / "a.parquet", [])


def test_records_are_read_beside_a_run(job: NamedJob) -> None:
    """What a run commits meanwhile is not seen: the lines are those of one moment."""
    folder = folder_of(job.config)
    write_job(folder, [make_record("a", 0)])
    with open_job(folder) as running, read_lines(folder) as lines:
        write_batch(running, [finished_record(make_record("a", 0, market="de-DE"))])
        write_batch(running, [finished_record(make_record("b", 1))])
        assert [line.get("market") for _, line in lines.in_manifest_order()] == [None]
        assert lines.line(row_key("b")) is None
    with read_lines(folder) as lines:
        assert [line.get("market") for _, line in lines.in_manifest_order()] == ["de-DE", None]


def test_the_command_writes_a_table(tmp_path: Path, job: NamedJob) -> None:
    """CONFIG... OUT as it stands in the README; without a file to write, one sentence says what is missing."""
    write_job(folder_of(job.config), WITH_OFFERS)
    command = [sys.executable, "-m", "pipeline", "export", str(tmp_path / "job.toml")]
    done = subprocess.run(
        [*command, str(tmp_path / "a.jsonl")], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert (done.returncode, done.stdout) == (0, f"3 rows written to {tmp_path / 'a.jsonl'}\n"), done.stderr
    assert orjson.loads((tmp_path / "a.jsonl").read_bytes().splitlines()[0])["id"] == "007"
    alone = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert (alone.returncode, "needs a config and the file to write" in alone.stderr) == (2, True)


def test_every_format_is_tried() -> None:
    """A format without a test of its own would be noticed here."""
    assert set(FORMATS) == {Path(name).suffix for name in READERS} | {".csv"}


def test_the_order_is_that_of_the_manifest_now(tmp_path: Path, job: NamedJob) -> None:
    """Rows that moved in the manifest were not written again, and still come where they are now."""
    folder = folder_of(job.config)
    write_job(folder, [make_record("a", 0), make_record("b", 1)])
    with open_job(folder) as opened:
        write_batch(opened, [finished_record(make_record("new", 0))])
        opened.state.known_rows.note_seen({row_key("new"): 1, row_key("b"): 2, row_key("a"): 3})
        compact_job(opened, False, 0)
    export([job], tmp_path / "a.jsonl", [])
    assert [row["id"] for row in lines_of(tmp_path / "a.jsonl")] == ["new", "b", "a"]


def test_the_lines_of_the_readme_read_an_export(tmp_path: Path, job: NamedJob, project: Path) -> None:
    """What README shows for pandas and DuckDB runs as it is written there."""
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    write_job(folder_of(job.config), WITH_OFFERS)
    for name in ("insights.parquet", "insights.csv"):
        export([job], tmp_path / "out" / name, [])
    lines = re.findall(r"`((?:pandas\.|SELECT)[^`]+)`", (project / "README.md").read_text(encoding="utf-8"))
    parquet, text, query = (line.replace("out/", f"{tmp_path}/out/") for line in lines)
    for line in (parquet, text):
        assert list(eval(line, {"pandas": pandas})["id"]) == ["007", "b", "c"]
    assert duckdb.connect().execute(query).fetchall() == [("007", 11.0), ("b", None)]
