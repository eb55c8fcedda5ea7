"""A line reader gives every line once, in order, however often lines are put back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.tabular.line_reader import LineReader

LINES = [f"line {number}\n" for number in range(1, 9)]


def test_a_row_that_is_rewound_is_read_again() -> None:
    """Lines from the given number on come again; those before stay taken, and the reader says that it looked ahead."""
    reader = LineReader(LINES)
    first = [next(reader) for _ in range(4)]
    assert reader.taken_from(3) == LINES[2:4]
    reader.rewind(2)
    assert (reader.line, reader.taken, reader.taken_chars, reader.is_rewound) == (2, first[:1], len(first[0]), True)
    assert list(reader) == LINES[1:]


def test_forgotten_lines_are_not_kept() -> None:
    """A reader that goes through a long file holds only the lines of one row."""
    reader = LineReader(LINES)
    next(reader)
    reader.forget()
    next(reader)
    assert (reader.taken, reader.line) == (LINES[1:2], 3)


def test_lines_that_were_read_in_one_go_can_be_put_back() -> None:
    """What was read to be compared is not taken; at the end there are fewer lines than asked for."""
    reader = LineReader(LINES, line=5)
    lines = reader.read(3)
    assert (lines, reader.line, reader.taken) == (LINES[:3], 8, [])
    reader.put_back(lines)
    assert (reader.line, reader.read(99), reader.read(1), reader.line) == (5, LINES, [], 13)


@given(st.lists(st.tuples(st.sampled_from(["next", "read", "rewind", "put back"]), st.integers(1, 4)), max_size=30))
def test_any_way_through_the_lines_gives_them_in_order(steps: list[tuple[str, int]]) -> None:
    """The number of the next line says which line it is, after any steps."""
    reader = LineReader(LINES)
    for step, count in steps:
        if step == "next":
            next(reader, None)
        elif step == "rewind":
            reader.rewind(reader.line - min(count, len(reader.taken)))
        else:
            lines = reader.read(count)
            if step == "put back":
                reader.put_back(lines)
            reader.forget()
    rest = LINES[reader.line - 1 :]
    assert reader.read(99) == rest
