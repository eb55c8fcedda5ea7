"""What has changed since a run or a date, as text, JSON and HTML."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.changes.change import Change, Difference
from pipeline.changes.compare import _LISTS, _TEXTS
from pipeline.changes.net import net_changes
from pipeline.commands.diff import diff
from pipeline.errors import OutputError, UsageError
from pipeline.sink.job_files import CHANGES, open_job
from tests.running import write_config


def price(run: int, before: float, after: float, row: str = "mug", at: str = "2026-11-30T02:00:00Z") -> Change:
    difference = Difference(
        kind="field", field="offers.price", item="https://a/", before=before, after=after, currency="EUR"
    )
    return Change(id=row, at=at, run=run, difference=difference)


def other(run: int, difference: Difference, row: str = "mug") -> Change:
    return Change(id=row, at="2026-11-30T02:00:00Z", run=run, difference=difference)


TAG = other(3, Difference(kind="field", field="tags", item="tea", after="tea"))
EVIL = other(
    3, Difference(kind="field", field="text", before=None, after="</script><img onerror=x>"), row="\x1b[31mred"
)


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """Return the folder of a job whose third run was the last."""
    with open_job(tmp_path / "out") as opened:
        for _ in range(3):
            opened.state.history.begin_run()
        old = price(1, 30.0, 25.0, at="2026-11-01T02:00:00Z")
        opened.changes.append([change.encode() for change in (old, price(2, 25.0, 20.0), price(3, 20.0, 18.0), TAG)])
        opened.state.files.commit({CHANGES: opened.changes.length}, {}, 0)
    return tmp_path / "out"


@pytest.mark.parametrize(
    ("since", "name", "before"),
    [
        ("", "run 2", 20.0),
        ("1", "run 1", 25.0),
        ("0", "run 0", 30.0),
        ("2026-11-15", "2026-11-15", 25.0),
        ("3", "run 3", None),
    ],
)
def test_changes_are_those_since_a_run_or_a_date(job: Path, since: str, name: str, before: float | None) -> None:
    """Without either, those of the last run; several of one value are joined."""
    result = diff(job, since)
    assert result.since == name
    prices = [change.difference for change in result.changes if change.name == "offers.price"]
    assert [(each.before, each.after) for each in prices] == ([] if before is None else [(before, 18.0)])


def test_the_text_names_rows_and_values(job: Path) -> None:
    """Counts first, then row by row what was before and what is now."""
    assert diff(job).text().splitlines() == [
        "2 changes since run 2",
        "offers.price 1, tags 1",
        "",
        "mug",
        "  offers.price: 20.0 -> 18.0 EUR (https://a/)",
        "  tags + tea",
    ]
    assert diff(job, "3").text() == "no changes since run 3"


def test_json_has_the_counts(job: Path) -> None:
    """Counts by field, and each change as in changes.jsonl."""
    content = diff(job).as_json()
    assert (content["since"], content["counts"]) == ("run 2", {"offers.price": 1, "tags": 1})
    assert content["changes"][0] == {
        key: value for key, value in json.loads(price(3, 20.0, 18.0).encode()).items() if key != "schema"
    }


def test_text_of_the_web_is_only_ever_text(job: Path) -> None:
    """No tag of a text is one of the page, nothing controls a terminal, and the page may load nothing."""
    with (job / CHANGES).open("ab") as file:
        file.write(EVIL.encode())
    page, text = diff(job).html(), diff(job).text()
    assert "<img" not in page
    assert "&lt;/script&gt;&lt;img onerror=x&gt;" in page
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert "\x1b" not in page + text
    assert "\\u001b[31mred" in text


def test_what_is_again_as_it_was_is_no_change() -> None:
    """There and back over several nights; a row that came and went too."""
    gone, back = Difference(kind="removed", before="a.jpg"), Difference(kind="added", after="a.jpg")
    new, lost = (
        Difference(kind="field", field="pages", item="p", after="p"),
        Difference(kind="field", field="pages", item="p", before="p"),
    )
    changes = [price(1, 5.0, 6.0), other(1, gone), other(1, new), price(2, 6.0, 5.0), other(2, back), other(2, lost)]
    assert net_changes(changes) == []
    assert net_changes(changes[:3]) == changes[:3]


def test_two_offers_of_one_name_are_not_joined() -> None:
    """Changes of one run are of different items, whatever they are called."""
    same_night = [price(1, 5.0, 6.0), price(1, 6.0, 7.0)]
    assert net_changes(same_night) == same_night


def test_a_wrong_date_is_refused(job: Path) -> None:
    """The sentence shows what may be given."""
    with pytest.raises(UsageError, match=r"--since: 'yesterday' is neither a date such as 2026-11-28 nor the number"):
        diff(job, "yesterday")


def test_a_file_that_was_edited_is_named(job: Path) -> None:
    """A line that is no change is no reason for a traceback."""
    with (job / CHANGES).open("ab") as file:
        file.write(b'{"id": 1}\n')
    with pytest.raises(OutputError, match=r"changes\.jsonl holds a line that is no change"):
        diff(job)


def test_the_command_prints_each_form(tmp_path: Path, job: Path) -> None:
    """Text for a reader, JSON for programs, a page for a browser."""
    config = write_config(tmp_path / "job.toml", Path("x.csv"), "http://127.0.0.1:1/v7.0")
    for options, start in (([], "2 changes since run 2"), (["--json"], "{"), (["--html"], "<!doctype html>")):
        command = [sys.executable, "-m", "pipeline", "diff", str(config), *options]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=dict(os.environ))
        assert done.stdout.startswith(start)
    assert job.is_dir()


def test_every_field_that_is_compared_is_documented(project: Path) -> None:
    """docs/changes.md names each field that a change may have, and each key of a line."""
    page = (project / "docs" / "changes.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w.]+)`", page.partition("These fields are compared")[2]))
    lists = {rule.path[0] for rule in _LISTS if rule.comes_and_goes}
    values = {".".join((rule.path[0], *value)) for rule in _LISTS for value in rule.values}
    assert {"status", "attributes.", *_TEXTS, *lists, *values} <= named
    assert set(json.loads(price(1, 1.0, 2.0).encode())) <= set(re.findall(r"`(\w+)`", page))
