"""Worker processes read real pictures; they may be killed, hang, or lose their parent."""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from anyio import BrokenWorkerProcess
from anyio.from_thread import BlockingPortal

from pipeline.service.text.recognised_text import RecognisedText
from pipeline.service.text.workers import OcrWorkers, ReadFailure
from tests.sheets import CARDS, CHANGES, LABELS, SIGNS, edits, png
from tests.waiting import HANG_SECONDS

Read = Callable[..., RecognisedText | ReadFailure]
CARD = png(CARDS[0].draw())


def full(read: RecognisedText | ReadFailure) -> str:
    assert isinstance(read, RecognisedText), read
    return read.full


def pids_of_workers(parent: int) -> list[int]:
    """Return the worker processes of a process."""
    pids: list[int] = []
    for file in Path(f"/proc/{parent}/task").glob("*/children"):
        with suppress(OSError):  # the thread, or the process, has ended meanwhile
            for pid in map(int, file.read_text().split()):
                pids += [pid] if b"anyio.to_process" in Path(f"/proc/{pid}/cmdline").read_bytes() else []
    return pids


def ends(pid: int) -> bool:
    """Wait for the end of a process that is not our own child."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], HANG_SECONDS)[0])
    finally:
        os.close(handle)


@pytest.mark.parametrize("change", ["clean", "rotated -8", "rotated 90", "blurred"])
def test_text_is_read_at_any_angle(read: Read, change: str) -> None:
    """At most 3 of 100 characters are wrong on a clean picture, and 10 on one that is turned or blurred."""
    sheet = CARDS[1]
    wrong = edits(full(read(png(CHANGES[change](sheet.draw())))), sheet.text)
    assert wrong <= (0.03 if change == "clean" else 0.10) * len(sheet.text)


def test_small_print_is_read(read: Read) -> None:
    """Lines of 18 px in a picture of 1,200 px are read."""
    assert edits(full(read(png(LABELS[2].draw()))), LABELS[2].text) <= 0.03 * len(LABELS[2].text)


def test_boxes_are_where_the_text_is(read: Read) -> None:
    """Lines go down the picture at the left edge; a quarter turn of the picture turns their boxes too."""
    text = read(CARD)
    assert isinstance(text, RecognisedText)
    boxes = [line.box for line in text.lines]
    assert [box[0][1] for box in boxes] == sorted(box[0][1] for box in boxes)
    assert all(box[0][0] == pytest.approx(60 / 1050, abs=0.02) for box in boxes)
    turned = read(png(CHANGES["rotated 90"](CARDS[0].draw())))
    assert isinstance(turned, RecognisedText)
    for line, upright in zip(turned.lines, boxes, strict=True):
        assert line.box[0] == pytest.approx((upright[0][1], 1 - upright[0][0]), abs=0.02)
        assert line.box[1] == pytest.approx((upright[1][1], 1 - upright[1][0]), abs=0.02)


def test_a_part_of_a_picture_has_boxes_of_its_own(read: Read) -> None:
    """Only the text of the part is returned, with boxes in fractions of the part."""
    text = read(CARD, (0.0, 0.1, 1.0, 0.25))
    assert isinstance(text, RecognisedText)
    (line,) = text.lines
    assert line.text == "CHARLENE WHITNEY"
    assert (line.box[0][1] < 0.35, line.box[3][1] > 0.6) == (True, True)


def test_a_picture_without_text_is_no_failure(read: Read) -> None:
    """A picture without text gives an empty text; bytes that are no picture give a failure."""
    assert read(png(CHANGES["clean"](SIGNS[0].draw()).crop((0, 0, 40, 40)))) == RecognisedText()
    assert isinstance(read(b"no picture"), ReadFailure)


def test_a_killed_process_is_replaced(read: Read, portal: BlockingPortal, workers: OcrWorkers) -> None:
    """A picture is still read if its process is killed, while it works or while it waits."""
    assert full(read(CARD))
    under_way = portal.start_task_soon(workers.read, CARD, (0.0, 0.0, 1.0, 1.0))
    (pid,) = pids_of_workers(os.getpid())
    os.kill(pid, signal.SIGKILL)
    assert full(under_way.result(HANG_SECONDS)) == CARDS[0].text


def test_a_picture_that_kills_its_process_twice_fails(portal: BlockingPortal) -> None:
    """It is given up, with the reason."""
    done = threading.Event()

    def kill_all() -> None:
        while not done.is_set():
            for pid in pids_of_workers(os.getpid()):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_all)
    killer.start()
    try:
        read = portal.call(OcrWorkers(1).read, CARD, (0.0, 0.0, 1.0, 1.0))
    finally:
        done.set()
        killer.join()
    assert isinstance(read, ReadFailure)
    assert "twice" in read.reason
    assert read.retryable


def test_a_process_that_ends_before_it_begins_is_tried_once_more(
    portal: BlockingPortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed while it starts counts like one that is killed while it reads."""
    ends = iter([ProcessLookupError(), BrokenWorkerProcess()])

    async def end(*_: object, **__: object) -> None:
        raise next(ends)

    monkeypatch.setattr("anyio.to_process.run_sync", end)
    read = portal.call(OcrWorkers(1).read, CARD, (0.0, 0.0, 1.0, 1.0))
    assert isinstance(read, ReadFailure)
    assert "twice" in read.reason


def test_a_process_that_cannot_be_started_is_a_failure(portal: BlockingPortal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without memory or files for a process the failure is retryable, and has the system's reason."""

    async def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("anyio.to_process.run_sync", refuse)
    read = portal.call(OcrWorkers(1).read, CARD, (0.0, 0.0, 1.0, 1.0))
    assert read == ReadFailure(
        reason="no process could be started to read the text (Too many open files)", retryable=True
    )


def test_a_picture_that_takes_too_long_fails(read: Read, portal: BlockingPortal) -> None:
    """The process that hangs is killed, and another one reads the next picture."""
    assert portal.call(OcrWorkers(1, 0.01).read, CARD, (0.0, 0.0, 1.0, 1.0)) == ReadFailure(
        reason="the text of this picture was not read within 0.01 s", retryable=True
    )
    assert full(read(CARD)) == CARDS[0].text


PARENT = """
import sys
from anyio.from_thread import start_blocking_portal
from pipeline.service.text.workers import OcrWorkers
with start_blocking_portal() as portal:
    portal.call(OcrWorkers(1).read, b"no picture", (0, 0, 1, 1))
    print("ready", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "ended"])
def test_no_process_outlives_its_parent(*, killed: bool) -> None:
    """The worker processes end with the service, whether it is killed or ends."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        assert parent.stdout.readline()
        (pid,) = pids_of_workers(parent.pid)
        if killed:
            parent.kill()
        else:
            parent.communicate("\n")
        assert ends(pid)


def test_the_service_itself_does_not_load_the_models() -> None:
    """The command line, and a service that has read nothing, do not import the packages."""
    heavy = "{'rapidocr', 'onnxruntime', 'cv2'}"
    code = f"import sys, pipeline.cli, pipeline.local.serve; sys.exit(not {heavy}.isdisjoint(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
