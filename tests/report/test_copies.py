"""Groups of copies from records, and which picture of a group is kept."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.report.copies import Copies, Group, Preference
from tests.report.jobs import make_record


def record(number: int, sha256: str, *duplicates: tuple[int, str, float], **source: object) -> dict[str, Any]:
    """Return a record of a picture with this hash that names its duplicates."""
    made = make_record(number)
    made["source"] |= {"sha256": sha256, **source}
    made["duplicates"] = [{"id": f"row-{n:06}", "path": "-", "kind": kind, "score": s} for n, kind, s in duplicates]
    return made


def groups(*records: dict[str, Any], prefer: Preference = Preference.SIZE) -> list[Group]:
    """Return the groups of these records."""
    copies = Copies()
    for row, each in enumerate(records):
        copies.add(row, each)
    return [*copies.groups(prefer)]


def test_equal_bytes_are_a_group_whatever_the_provider() -> None:
    """The records need not name each other."""
    (group,) = groups(record(0, "a"), record(1, "b"), record(2, "a"), record(3, "a"))
    assert [copy.picture.row for copy in group.copies] + [group.kept.row] == [0, 2, 3]
    assert {(copy.kind, copy.score) for copy in group.copies} == {("exact", 1.0)}


def test_named_duplicates_join_groups() -> None:
    """A chain of copies is one group; each copy says what it is of the one that is kept, or else of another."""
    first = record(0, "a", (1, "same", 0.99), width=1600, height=1200)
    second = record(1, "b", (0, "same", 0.99), (2, "mirrored", 0.9))
    (group,) = groups(first, second, record(2, "c"), record(3, "d"))
    assert group.kept.row == 0
    assert [(copy.picture.row, copy.kind, copy.score) for copy in group.copies] == [
        (1, "same", 0.99),
        (2, "mirrored", 0.9),
    ]


def test_a_duplicate_outside_the_job_makes_no_group() -> None:
    """The service's catalogue may have pictures that the manifest hasn't."""
    assert groups(record(0, "a", (99, "same", 1.0))) == []


@pytest.mark.parametrize(("prefer", "kept"), [(Preference.SIZE, 1), (Preference.FORMAT, 2), (Preference.AGE, 0)])
def test_what_is_kept_can_be_chosen(prefer: Preference, kept: int) -> None:
    """The largest, the one without loss, or the oldest."""
    duplicates = (1, "same", 1.0), (2, "same", 1.0)
    first = record(0, "a", *duplicates) | {"image": {"published": "2020-01-01"}}
    (group,) = groups(first, record(1, "b", width=2000), record(2, "c", format="PNG"), prefer=prefer)
    assert group.kept.row == kept


def test_of_equal_pictures_the_first_is_kept() -> None:
    """Where nothing else tells them apart, the manifest's order does; bytes count before that."""
    (group,) = groups(record(0, "a", bytes=5), record(1, "a", bytes=5))
    assert group.kept.row == 0
