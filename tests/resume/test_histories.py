"""Whatever happened to the manifest and to earlier runs, the next whole run leaves what a first one would have left."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import ManifestConfig
from pipeline.manifest import open_manifest, segments
from pipeline.records import Answer, Failure, LocalFile, Row
from pipeline.resume.changes import ChangeDetector, Changes, PendingRow
from pipeline.resume.open_checkpoints import OpenCheckpoints
from pipeline.resume.pending import iter_manifest_changes
from pipeline.schema import no_insights
from pipeline.sink.finish import compact_job
from pipeline.sink.job_files import FAILURES, INSIGHTS, Job, open_job
from pipeline.sink.outcome import failed_row, record_row
from pipeline.sink.output_lines import build_record
from pipeline.sink.sink import Finished, write_batch
from tests.rows import REQUEST, Provider, make_failure

HEADER = "id,image,title\n"


@dataclass
class World:
    """A folder with pictures, a manifest and a job; `now` is the time of the answers, which fail unless `is_fair`."""

    folder: Path
    lines: list[str] = field(default_factory=list)
    now: float = 0.0
    is_fair: bool = True
    salt: bytes = b"s"
    not_before: float = 0.0

    def picture(self, name: str, size: int) -> None:
        (self.folder / name).write_bytes(bytes(size))

    def run(self, *, stop_after: int | None = None, flush: int = 4, out: str = "out") -> int:
        """Run the job in `out`, or as far as `stop_after` rows; return how many rows were done or failed."""
        self.now += 1
        (self.folder / "m.csv").write_text(HEADER + "".join(self.lines), newline="")
        config = ManifestConfig(path=str(self.folder / "m.csv"), carry=("title",))
        with open_job(self.folder / out) as job, open_manifest(config) as manifest:
            detector = ChangeDetector(job.state.known_rows, self.salt, not_before=self.not_before)
            done = self._do(job, iter_manifest_changes(manifest, detector), stop_after, flush)
            if stop_after is None:
                compact_job(job, True, 0)
        return done

    def _do(self, job: Job, changes: Iterator[Changes], stop_after: int | None, flush: int) -> int:
        open_checkpoints, waiting, done = OpenCheckpoints(), [], 0
        for part in changes:
            if part.open_checkpoint is not None:
                open_checkpoints.begin(part.open_checkpoint)
            for pending_row in part.pending_rows:
                if done == stop_after:
                    return done
                waiting.append(self._finish(pending_row))
                done += 1
                if len(waiting) >= flush:
                    _write(job, waiting, open_checkpoints)
                    waiting = []
        _write(job, waiting, open_checkpoints)
        return done

    def _finish(self, pending_row: PendingRow) -> Finished:
        item = pending_row.item
        if isinstance(item, Failure):
            return failed_row(pending_row, item, self.now)
        if item.id.startswith("x") or not self.is_fair:
            return failed_row(
                pending_row, make_failure(item.line, "verdict", item.id, retryable=not self.is_fair), self.now
            )
        answer = Answer(status=200, headers={}, body=b"", asked_at=self.now)
        insights = no_insights()
        insights["insights_token"] = f"{_size(item)} {self.salt!r}"
        record = build_record(Provider(), item, None, [(REQUEST, answer)], insights)
        return record_row(pending_row, record, self.now, b"", [])


def _write(job: Job, rows: Sequence[Finished], open_checkpoints: OpenCheckpoints) -> None:
    write_batch(job, rows, open_checkpoints.finish([row.entry for row in rows]))


def _size(row: Row) -> int:
    picture = Path(row.image.path) if isinstance(row.image, LocalFile) else None
    return picture.stat().st_size if picture and picture.exists() else -1


def _outcome(folder: Path) -> tuple[list[Any], list[Any]]:
    """Return what a job says of its rows, without times and without the places of verdicts."""
    records = [orjson.loads(line) for line in (folder / INSIGHTS).read_bytes().splitlines()]
    failures = [orjson.loads(line) for line in (folder / FAILURES).read_bytes().splitlines()]
    failed = [(f.get("id"), f["code"], f["message"] if f["code"] != "verdict" else "") for f in failures]
    written = [(r["id"], r["source"], r["carry"], r["insights_token"]) for r in records]
    return sorted(written, key=str), sorted(failed, key=str)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(segments, "BATCH_ROWS", 4)
    made = World(tmp_path, [f"{n},p{n % 3}.png,T\n" for n in range(12)])
    for number in range(3):
        made.picture(f"p{number}.png", number)
    return made


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collect the first lines of the segments whose rows are compared."""
    looked: list[int] = []
    detect = ChangeDetector.detect_segment

    def counting(self: ChangeDetector, segment: segments.Segment[Any]) -> Changes:
        changes = detect(self, segment)
        if changes.open_checkpoint is not None or changes.pending_rows:
            looked.append(segment.line)
        return changes

    monkeypatch.setattr(ChangeDetector, "detect_segment", counting)
    return looked


def test_lines_that_stayed_are_passed_over(world: World, reads: list[int]) -> None:
    """The second run over an unchanged manifest looks at no row; it counts them all the same."""
    assert world.run() == 12
    assert reads == [2, 6, 10]
    reads.clear()
    assert world.run() == 0
    assert reads == []


def test_what_an_interrupted_run_has_done_is_passed_over(world: World, reads: list[int]) -> None:
    """The lines that were done stay unread; those that were on their way are looked at."""
    world.run(stop_after=6)
    reads.clear()
    assert world.run() == 8  # two of the six were done but not written
    assert reads == [6, 10]


@pytest.mark.parametrize(
    ("edit", "looked", "done"),
    [
        (lambda lines: lines.append("new,p1.png,T\n"), [14], 1),
        (lambda lines: lines.__setitem__(5, "5,p2.png,other\n"), [6], 1),
        (lambda lines: lines.insert(4, "new,p1.png,T\n"), [6, 10, 14], 1),
        (lambda lines: lines.insert(0, "\n"), [2, 6, 10, 14], 0),
        (lambda lines: lines.__delitem__(slice(8, None)), [], 0),
        (lambda lines: lines.__setitem__(1, "9,p0.png,T\n"), [2, 10], 1),
    ],
    ids=["appended", "edited", "inserted", "shifted", "cut off", "repeated further down"],
)
def test_only_lines_that_changed_are_looked_at(
    world: World, reads: list[int], edit: Any, looked: list[int], done: int
) -> None:
    """An edit costs a look at its own segment, and at those whose lines it moves."""
    world.run()
    reads.clear()
    edit(world.lines)
    assert world.run() == done
    assert reads == looked
    reads.clear()
    assert world.run() == 0


def _retry(world: World) -> None:
    with open_job(world.folder / "out") as job:
        job.state.ledger.retry()


def _shorten(world: World, twelfths: int) -> None:
    path = world.folder / "out" / INSIGHTS
    with open_job(world.folder / "out"):
        size = path.stat().st_size
    os.truncate(path, size * twelfths // 12)


@pytest.mark.parametrize(
    ("change", "looked", "done"),
    [
        (lambda world: world.picture("p0.png", 77), [2, 6], 3),
        (lambda world: (world.folder / "p0.png").unlink(), [2, 6], 3),
        (lambda world: setattr(world, "salt", b"other"), [2, 6, 10], 12),
        (lambda world: setattr(world, "not_before", 2.0), [2, 6, 10], 11),
        (_retry, [10], 1),
        (lambda world: _shorten(world, 9), [10], 3),
    ],
    ids=["picture changed", "picture gone", "settings", "refresh", "retry", "output shortened"],
)
def test_more_than_the_text_must_be_unchanged(
    world: World, reads: list[int], change: Callable[[World], object], looked: list[int], done: int
) -> None:
    """Pictures, settings, the age of answers, a retry and a loss of records each bring the rows back."""
    world.lines[9] = "x9,p1.png,T\n"
    world.run()
    reads.clear()
    change(world)
    assert world.run() == done
    assert reads == looked


@pytest.mark.parametrize("name", ["link.png", "out.png"])
def test_a_link_that_turns_elsewhere_is_a_change(world: World, name: str) -> None:
    """The picture behind a link counts, and so does a link that no longer leads out of the root."""
    (world.folder / "link.png").symlink_to("p1.png")
    (world.folder / "out.png").symlink_to("/etc/hostname")
    world.lines = [f"a,{name},T\n"]
    assert world.run() == 1
    (world.folder / name).unlink()
    (world.folder / name).symlink_to("p2.png")
    assert world.run() == 1
    assert len(_outcome(world.folder / "out")[0]) == 1


def test_an_id_passes_to_its_next_line(world: World) -> None:
    """A line that repeats an id of another segment gets it once the first one is gone."""
    world.lines[9] = "1,p1.png,second\n"
    world.run()
    world.lines[1] = "other,p1.png,T\n"
    assert world.run() == 2
    records, failures = _outcome(world.folder / "out")
    assert [carry for row_id, _, carry, _ in records if row_id == "1"] == [{"title": "second"}]
    assert failures == []


@pytest.mark.parametrize(("line", "done"), [("5,p2.png,T\n", 1), ("5,p2.png,other\n", 2)], ids=["as it was", "changed"])
def test_a_row_that_stood_elsewhere_for_a_night_is_looked_at(world: World, line: str, done: int) -> None:
    """A segment whose row moved, in a run that stopped above it, isn't what it was, although its text is."""
    world.run()
    before = list(world.lines)
    world.lines[1:3] = [line, "new,p0.png,T\n"]
    world.lines[4] = "stops here,p0.png,T\n"
    world.run(stop_after=done, flush=1)
    world.lines = before
    world.run()
    records, failures = _outcome(world.folder / "out")
    assert [carry for row_id, _, carry, _ in records if row_id == "5"] == [{"title": "T"}]
    assert (len(records), failures) == (12, [])


def test_faults_are_tried_again_although_nothing_changed(world: World, reads: list[int]) -> None:
    """A segment with a failure that may be tried again is never passed over."""
    world.is_fair = False
    assert world.run() == 12
    world.is_fair = True
    assert world.run() == 12
    assert reads == [2, 6, 10, 2, 6, 10]
    assert _outcome(world.folder / "out")[1] == []


def test_rows_that_left_are_forgotten_and_come_back_as_new(world: World) -> None:
    """A manifest that is cut and restored asks again for what was pruned in between, and for nothing else."""
    world.run()
    whole = list(world.lines)
    del world.lines[6:]
    assert world.run() == 0
    assert len(_outcome(world.folder / "out")[0]) == 6
    world.lines = whole
    assert world.run() == 6
    assert len(_outcome(world.folder / "out")[0]) == 12


names = st.sampled_from(["p0.png", "p1.png", "p2.png", "token:t", "../up.png", "http://h/x"])
rows = st.one_of(
    st.builds("{},{},{}\n".format, st.sampled_from("abcdefgx"), names, st.sampled_from(["T", "U", '"two\nlines"'])),
    st.sampled_from(["\n", "short\n", 'a"b,p0.png,"T\n', '"open,p1.png,T\n', ",p0.png,T\n"]),
)
places = st.integers(0, 11)
edits = st.one_of(
    st.tuples(st.just("set"), places, rows),
    st.tuples(st.just("insert"), places, rows),
    st.tuples(st.just("delete"), places, places),
    st.tuples(st.just("swap"), places, places),
    st.tuples(st.just("copy"), places, places),
    st.tuples(st.just("picture"), st.integers(0, 2), st.integers(0, 3)),
    st.tuples(st.just("retry"), places, places),
    st.tuples(st.just("shorten"), places, places),
    st.tuples(st.just("settings"), st.integers(0, 1), places),
)
runs = st.tuples(st.sampled_from(["whole", "whole", "stopped", "foul"]), places, st.integers(1, 4))
nights = st.lists(st.tuples(st.lists(edits, max_size=2), runs), min_size=1, max_size=5)


def _foul(world: World, stop_after: int, flush: int) -> None:
    world.is_fair = False
    world.run(stop_after=stop_after, flush=flush)
    world.is_fair = True


STEPS: dict[str, Callable[[World, Any, Any], object]] = {
    "set": lambda world, place, row: world.lines.__setitem__(slice(place, place + 1), [row]),
    "insert": lambda world, place, row: world.lines.insert(place, row),
    "delete": lambda world, place, end: world.lines.__delitem__(slice(place, end + 1)),
    "swap": lambda world, place, end: world.lines.__setitem__(slice(place, end), world.lines[place:end][::-1]),
    "copy": lambda world, place, to: world.lines.__setitem__(slice(to, to + 1), world.lines[place : place + 1]),
    "picture": lambda world, number, size: world.picture(f"p{number}.png", size),
    "stopped": lambda world, after, flush: world.run(stop_after=after, flush=flush),
    "foul": _foul,
    "whole": lambda world, _, flush: world.run(flush=flush),
    "settings": lambda world, number, _: setattr(world, "salt", b"st"[number : number + 1]),
    "retry": lambda world, *_: _retry(world),
    "shorten": lambda world, twelfths, _: _shorten(world, twelfths),
}


@given(lines=st.lists(rows, min_size=2, max_size=12), nights=nights, size=st.integers(1, 4))
@settings(max_examples=80)
def test_any_history_ends_like_a_first_run(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], nights: list[Any], size: int
) -> None:
    """Edits, repeats, stops, faults, changed pictures: the last run leaves just what a new job would, each row once."""
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "BATCH_ROWS", size)
        world = World(folder, lines)
        for number in range(3):
            world.picture(f"p{number}.png", number)
        for step in chain.from_iterable([run, *edits] for edits, run in nights):
            STEPS[step[0]](world, *step[1:])
        world.run()
        world.run(out="fresh")
        assert _outcome(folder / "out") == _outcome(folder / "fresh")
        assert world.run() == 0
    shutil.rmtree(folder)
