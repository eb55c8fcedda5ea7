"""The list of copies: as text, as CSV and as JSON, of exact copies for every provider."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import orjson
import pytest

from pipeline.commands.duplicates import list_duplicates
from pipeline.errors import UsageError
from pipeline.report.copies import DuplicatesForm, Preference
from tests.report.jobs import make_failure, make_record, write_job


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a job with a pair of equal files, a pair of which one is edited, and a failure."""
    records = [make_record(number) for number in range(5)]
    records[2]["source"]["sha256"] = records[0]["source"]["sha256"]
    records[1]["source"]["width"] = 100
    records[1]["duplicates"] = [{"id": "row-000003", "path": "images/3.png", "kind": "edited", "score": 0.913}]
    records[3]["id"] = "row-000003"
    write_job(tmp_path, [*records, make_failure(5)])
    return tmp_path / "out"


def test_people_read_which_one_to_keep(folder: Path) -> None:
    """Each group has a line for each picture, the one to keep first."""
    assert list_duplicates(folder, DuplicatesForm.TEXT, Preference.SIZE).splitlines() == [
        "2 groups of copies; 2 rows beside those to keep",
        "",
        "keep      row-000002 (images/2.png), 800 x 600 px, 9,002 bytes, JPEG",
        "exact     row-000000 (images/0.png), 800 x 600 px, 9,000 bytes, JPEG",
        "",
        "keep      row-000003 (images/3.png), 800 x 600 px, 9,003 bytes, JPEG",
        "edited    row-000001 (images/1.png), 100 x 600 px, 9,001 bytes, JPEG, agrees by 91 %",
    ]


def test_a_table_has_a_line_for_each_picture(folder: Path) -> None:
    """The columns say which group it belongs to, and whether to keep it."""
    rows = list(csv.DictReader(io.StringIO(list_duplicates(folder, DuplicatesForm.CSV, Preference.SIZE))))
    assert [(row["group"], row["keep"], row["kind"], row["id"]) for row in rows] == [
        ("1", "yes", "", "row-000002"),
        ("1", "no", "exact", "row-000000"),
        ("2", "yes", "", "row-000003"),
        ("2", "no", "edited", "row-000001"),
    ]


def test_a_program_reads_json(folder: Path) -> None:
    """Each group is the picture to keep, and its copies with kind and score."""
    groups = orjson.loads(list_duplicates(folder, DuplicatesForm.JSON, Preference.SIZE))
    assert [group["keep"]["id"] for group in groups] == ["row-000002", "row-000003"]
    assert [(copy["id"], copy["kind"], copy["score"]) for copy in groups[1]["copies"]] == [
        ("row-000001", "edited", 0.913)
    ]


def test_without_a_job_nothing_is_listed(tmp_path: Path) -> None:
    """The message says how a job begins."""
    with pytest.raises(UsageError, match="image-insights run"):
        list_duplicates(tmp_path, DuplicatesForm.TEXT, Preference.SIZE)
