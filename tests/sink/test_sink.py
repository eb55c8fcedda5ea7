"""One writer, in the order that leaves each row in the output once; a kill between any two steps loses nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import anyio
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import JobLocked, OutputError
from pipeline.resume.keys import row_key
from pipeline.sink.compact import compact
from pipeline.sink.finish import compact_job
from pipeline.sink.job_files import FAILURES, INSIGHTS, STATES, Job, open_job
from pipeline.sink.sink import Finished, Paid, Sink, write_batch
from pipeline.state.ledger import LedgerEntry, State
from tests.rows import finished, make_answer, paid


def ids(path: Path) -> list[str]:
    lines = map(orjson.loads, path.read_bytes().splitlines())
    return [line["id"] + line.get("text", "") for line in lines]


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    with open_job(tmp_path / "out") as opened:
        yield opened


async def test_what_is_sent_is_written_when_the_stream_ends(job: Job) -> None:
    """Answers are reported as stored, records and failures are in their files, the ledger knows both."""
    stored: list[bytes] = []
    written: list[LedgerEntry] = []
    sink = Sink(job, stored=stored.extend, written=written.extend, broken=lambda _: None)
    send, receive = anyio.create_memory_object_stream[Paid | Finished](10)
    async with send:
        await send.send(paid())
        await send.send(finished("a"))
        await send.send(finished("b", state=State.FAILED, code="truncated"))
    await sink.consume(receive)
    assert stored == [paid().fingerprint]
    assert len(written) == 2
    assert ids(job.folder / INSIGHTS) == ["a"]
    assert ids(job.folder / FAILURES) == ["b"]
    assert job.state.answers.get(paid().fingerprint) is not None
    assert job.state.ledger.counts() == {State.DONE: 1, State.FAILED: 1}


async def test_what_has_arrived_is_written_even_when_the_run_is_cancelled(job: Job) -> None:
    """A cancelled sink commits the batch it holds."""
    sink = Sink(job, stored=lambda _: None, written=lambda _: None, broken=lambda _: None)
    send, receive = anyio.create_memory_object_stream[Paid | Finished](10)
    async with send, anyio.create_task_group() as tasks:
        tasks.start_soon(sink.consume, receive)
        await send.send(finished("a"))
        while send.statistics().current_buffer_used or not send.statistics().tasks_waiting_receive:
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert ids(job.folder / INSIGHTS) == ["a"]


async def test_when_the_disk_refuses_paid_answers_are_still_kept(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is given once, the reserve is released, rows are dropped, answers are stored."""
    broken: list[OutputError] = []
    stored: list[bytes] = []
    sink = Sink(job, stored=stored.extend, written=lambda _: None, broken=broken.append)
    refused = OutputError("disk full")
    monkeypatch.setattr(job.outputs[INSIGHTS], "append", lambda _: (_ for _ in ()).throw(refused))
    monkeypatch.setattr("pipeline.sink.sink.BATCH_ROWS", 1)
    send, receive = anyio.create_memory_object_stream[Paid | Finished](10)
    assert (job.folder / "reserve").stat().st_size > 1_000_000
    async with send:
        await send.send(finished("a"))
        await send.send(paid())
        await send.send(finished("b"))
    await sink.consume(receive)
    assert broken == [refused]
    assert stored == [paid().fingerprint]
    assert job.state.answers.get(paid().fingerprint) is not None
    assert job.state.ledger.counts() == {}
    assert not (job.folder / "reserve").exists()


async def test_on_a_full_disk_an_answer_is_written_into_the_reserve(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first attempt finds no space; the reserve is released, and the second one has its space."""
    writer, release = job.state.database.writer, job.reserve.release
    writer.execute(f"PRAGMA max_page_count = {writer.execute('PRAGMA page_count').fetchone()[0]}")

    def release_pages() -> None:
        release()
        writer.execute("PRAGMA max_page_count = 1000000")

    monkeypatch.setattr(job.reserve, "release", release_pages)
    broken: list[OutputError] = []
    stored: list[bytes] = []
    sink = Sink(job, stored=stored.extend, written=lambda _: None, broken=broken.append)
    send, receive = anyio.create_memory_object_stream[Paid | Finished](10)
    large = replace(paid(), answer=make_answer(os.urandom(100_000)))
    async with send:
        await send.send(large)
    await sink.consume(receive)
    assert "full" in str(broken[0])
    assert len(broken) == 1
    assert stored == [large.fingerprint]
    answer = job.state.answers.get(large.fingerprint)
    assert answer is not None
    assert answer.body == large.answer.body


def test_lines_that_were_not_marked_are_cut_off_and_their_rows_unknown(tmp_path: Path) -> None:
    """A kill between the append and the mark: for the next run the row is not done, and has no line."""
    with open_job(tmp_path) as job:
        write_batch(job, [finished("a")])
        job.outputs[INSIGHTS].append([finished("b").line])
    with open_job(tmp_path) as job:
        assert ids(tmp_path / INSIGHTS) == ["a"]
        assert job.state.known_rows.look_up([row_key("b")]) == {}


def test_a_file_that_was_shortened_ends_in_a_whole_line(tmp_path: Path) -> None:
    """Rows whose lines are gone are put back, the others stay; the file ends in a whole line."""
    with open_job(tmp_path) as job:
        write_batch(job, [finished(name) for name in "abc"])
    with (tmp_path / INSIGHTS).open("r+b") as file:
        file.truncate(len(finished("a").line) * 2 + 3)
    with open_job(tmp_path) as job:
        assert ids(tmp_path / INSIGHTS) == ["a", "b"]
        assert job.state.ledger.counts() == {State.DONE: 2, State.WAITING: 1}


@pytest.mark.parametrize("ledger", ["gone", "empty"])
def test_output_without_its_ledger_is_not_overwritten(tmp_path: Path, ledger: str) -> None:
    """Records whose ledger is gone are worth more than a fresh start."""
    if ledger == "empty":
        (tmp_path / "state.db").touch()
    (tmp_path / INSIGHTS).write_bytes(b'{"id":"a"}\n')
    with pytest.raises(OutputError, match=r"restore state\.db"), open_job(tmp_path):
        pass
    assert ids(tmp_path / INSIGHTS) == ["a"]


def test_a_job_is_opened_once_at_a_time(tmp_path: Path) -> None:
    """The second one learns who holds the lock; the lock goes with its holder."""
    with open_job(tmp_path), pytest.raises(JobLocked, match="holds"), open_job(tmp_path):
        pass
    with open_job(tmp_path) as job:
        assert job.state.ledger.counts() == {}


def test_compacting_leaves_each_row_once_and_drops_failures_that_left(tmp_path: Path) -> None:
    """A failed row that succeeded keeps its record alone; a failure whose line left the manifest is gone."""
    with open_job(tmp_path) as job:
        failed = [finished("a", state=State.FAILED, code="x"), finished("b", state=State.FAILED, code="x")]
        write_batch(job, [*failed, finished("c")])
        write_batch(job, [finished("a"), finished("c", " again")])
        job.state.known_rows.note_seen({row_key("a"): 1})
        compact_job(job, False, 0)
    assert ids(tmp_path / FAILURES) == []
    assert ids(tmp_path / INSIGHTS) == ["a", "c again"]
    with open_job(tmp_path) as job:
        job.state.known_rows.note_seen({row_key("a"): 1})
        compact_job(job, True, 0)
    assert ids(tmp_path / INSIGHTS) == ["a"]


@pytest.mark.parametrize("instant", ["before the rename", "after the rename"])
def test_a_kill_in_the_middle_of_compaction_is_finished_by_the_next_run(tmp_path: Path, instant: str) -> None:
    """Whether or not the new file has its name already, the places of all rows are right afterwards."""
    with open_job(tmp_path) as job:
        write_batch(job, [finished("a"), finished("b")])
        write_batch(job, [finished("a", " again, longer")])
        places = [(row_key("b"), 0, len(finished("b").line))]
        new = tmp_path / f"{INSIGHTS}.new"
        again = finished("a", " again, longer").line
        new.write_bytes(finished("b").line + again)
        places.append((row_key("a"), len(finished("b").line), len(again)))
        job.state.files.begin_move(INSIGHTS, places)
        if instant == "after the rename":
            new.replace(tmp_path / INSIGHTS)
    with open_job(tmp_path) as job:
        assert ids(tmp_path / INSIGHTS) == ["b", "a again, longer"]
        content = (tmp_path / INSIGHTS).read_bytes()
        lines = {key: content[place : place + length] for key, place, length in job.state.files.lines([State.DONE])}
        assert lines == {row_key("a"): again, row_key("b"): finished("b").line}
        assert job.state.files.committed(INSIGHTS) == len(content)


steps = st.lists(
    st.tuples(st.sampled_from("abcde"), st.sampled_from([State.DONE, State.FAILED]), st.integers(0, 9)), max_size=30
)


@given(steps=steps, batch=st.integers(1, 7), torn=st.binary(max_size=5))
@settings(max_examples=25)
def test_each_row_is_there_once_after_any_history(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[str, State, int]],
    batch: int,
    torn: bytes,
) -> None:
    """Whatever was written, torn and superseded, compaction leaves each row's last line, once, over both files."""
    folder = tmp_path_factory.mktemp("job")
    for start in range(0, len(steps), batch):
        with open_job(folder) as job:
            rows = {row_id: (state, text) for row_id, state, text in steps[start : start + batch]}
            write_batch(job, [finished(i, f" {text}", state) for i, (state, text) in rows.items()])
        with (folder / INSIGHTS).open("ab") as file:
            file.write(torn)
    with open_job(folder) as job:
        for name in (INSIGHTS, FAILURES):
            compact(job.state.files, name, folder / name, STATES[name])
    last = {row_id: (state, text) for row_id, state, text in steps}
    for name, state in ((INSIGHTS, State.DONE), (FAILURES, State.FAILED)):
        expected = sorted(f"{row_id} {text}" for row_id, (ended, text) in last.items() if ended is state)
        assert sorted(ids(folder / name)) == expected
    shutil.rmtree(folder)
