"""The lines that count, in the manifest's order: records and failures, none that is superseded."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import OutputError, UsageError
from pipeline.sink.job_lines import current_lines
from tests.report.jobs import make_failure, make_record, write_job


def test_lines_come_in_the_order_of_the_manifest(tmp_path: Path) -> None:
    """Records and failures of different files are one sequence."""
    write_job(tmp_path, [make_record(0), make_failure(1), make_record(2)])
    lines = [*current_lines(tmp_path / "out")]
    assert [(line.content["id"], line.is_record) for line in lines] == [
        ("row-000000", True),
        ("row-000001", False),
        ("row-000002", True),
    ]
    raw = (tmp_path / "out" / "insights.jsonl").read_bytes()
    assert raw[lines[2].offset :][: lines[2].length].endswith(b"}\n")


def test_without_a_job_there_is_nothing_to_read(tmp_path: Path) -> None:
    """The message says how a job begins."""
    with pytest.raises(UsageError, match="image-insights run"):
        next(current_lines(tmp_path))
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("content", [b"", b"{}\n" * 500, None], ids=["empty", "other lines", "gone"])
def test_a_file_that_is_another_now_is_not_read_as_if_it_were_the_same(tmp_path: Path, content: bytes | None) -> None:
    """The error says which file it is, and what to do."""
    write_job(tmp_path, [make_record(0)])
    path = tmp_path / "out" / "insights.jsonl"
    path.unlink() if content is None else path.write_bytes(content)
    said = r"insights\.jsonl (is not what was written there|can't be read).*run the job again"
    with pytest.raises(OutputError, match=said):
        [*current_lines(tmp_path / "out")]
