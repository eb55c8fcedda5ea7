"""What is known of the output files: rows past a lost end are put back."""

from __future__ import annotations

from pipeline.state.job_state import JobState
from pipeline.state.ledger import State
from tests.rows import entry


def test_rows_past_the_end_of_a_cut_file_are_put_back(state: JobState) -> None:
    """A file that lost its end keeps whole lines only; the rows of the others are to be done again."""
    rows = [entry(b"a"), entry(b"b", offset=10), entry(b"c", offset=20)]
    state.commit(rows, lengths={"insights.jsonl": 30}, changed={})
    assert state.files.cut("insights.jsonl", [State.DONE], 25) == 20
    states = {key: known.state for key, known in state.known_rows.look_up([b"a", b"b", b"c"]).items()}
    assert states == {b"a": State.DONE, b"b": State.DONE, b"c": State.WAITING}
    assert state.files.committed("insights.jsonl") == 20
