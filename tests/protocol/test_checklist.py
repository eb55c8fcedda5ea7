"""checklist.csv: every statement of the five documents, with the test that shows it on each side of the wire.

A cell of the columns client and service has a test (its file below tests/ and its name), "-" where the statement does
not concern that side, or "no: " and the reason why it does not hold there.
"""

from __future__ import annotations

import csv
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
SIDES = ("client", "service")
_TEST = re.compile(r"[\w/]+\.py::test_\w+")


def entries() -> list[dict[str, str]]:
    with (Path(__file__).parent / "checklist.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@cache
def names_in(file: str) -> frozenset[str]:
    return frozenset(
        re.findall(r"^(?:async )?def (test_\w+)", (TESTS / file).read_text(encoding="utf-8"), re.MULTILINE)
    )


def test_every_statement_has_one_entry() -> None:
    """The numbers are complete, and no two statements are the same."""
    assert [entry["number"] for entry in entries()] == [str(number) for number in range(1, 291)]
    assert len({entry["statement"] for entry in entries()}) == len(entries())


def test_every_entry_names_documents_that_the_protocol_page_names(project: Path) -> None:
    """The names are those of docs/protocol.md."""
    page = (project / "docs" / "protocol.md").read_text(encoding="utf-8")
    named = {name for entry in entries() for name in entry["documents"].split("; ")}
    assert {name for name in named if f"\n| {name} |" not in page} == set()


@pytest.mark.parametrize("side", SIDES)
def test_every_entry_has_its_test_or_its_reason(side: str) -> None:
    """A test that is named exists; what has none says why in a sentence."""
    for entry in entries():
        cell = entry[side]
        if _TEST.fullmatch(cell):
            file, _, name = cell.partition("::")
            assert name in names_in(file), f"{entry['number']}: there is no {cell}"
        else:
            assert cell == "-" or re.fullmatch(r"no: .{20,}", cell), f"{entry['number']}: {cell}"


def test_every_statement_concerns_a_side() -> None:
    """But for those about web searches, which neither side has."""
    assert [entry["number"] for entry in entries() if entry["client"] == entry["service"] == "-"] == ["177"]


def test_what_does_not_hold_is_documented(project: Path) -> None:
    """docs/protocol.md has the number of every entry with a reason."""
    page = (project / "docs" / "protocol.md").read_text(encoding="utf-8")
    section = page.partition("## What does not hold")[2].partition("\n## ")[0]
    reasons = {int(entry["number"]) for entry in entries() if any(entry[side].startswith("no: ") for side in SIDES)}
    numbers = ", ".join(re.findall(r"^\| ([\d, ]+) \|", section, re.MULTILINE))
    assert {int(number) for number in numbers.split(", ")} == reasons
