"""Decoder processes: what they exchange with their parent, and how each of them can be ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.decoding import process as process_module
from pipeline.decoding.pool import PoolClosed, ProcessPool
from pipeline.decoding.process import DecoderProcess, ProcessDied, is_deadline
from tests.waiting import HANG_SECONDS, wait_until

# A program that does what its parent sends, a text of Python, and sends back what that leaves in `reply`.
OBEY = """
import os, signal, time
from pipeline.decoding.child import Parent, deadline, limit_memory, memory_bytes
parent = Parent()
while (message := parent.receive()) is not None:
    names = dict(globals(), reply=b"")
    exec(message, names)
    parent.send(names["reply"])
"""


@pytest.fixture
def process() -> Iterator[DecoderProcess]:
    """Return a process that does as it is told."""
    process = DecoderProcess(OBEY)
    yield process
    process.end()


def tell(process: DecoderProcess, act: str, max_bytes: int = 100) -> bytes:
    """Send a text of Python and return the reply."""
    process.send(act.encode())
    return process.receive(max_bytes)


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_messages_of_every_size_arrive(process: DecoderProcess, size: int) -> None:
    """Bytes go in and come out as they were, without a picture in between."""
    data = os.urandom(size)
    process.send(b"reply = parent.receive()", data)
    assert process.receive(size) == data


def test_a_message_that_is_too_long_is_not_received(process: DecoderProcess) -> None:
    """A process that was taken over can't fill its parent's memory."""
    with pytest.raises(ValueError, match="101 bytes, of 100 at most"):
        tell(process, "reply = bytes(101)")


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_process_that_dies_is_noticed(process: DecoderProcess, number: signal.Signals) -> None:
    """Its parent gets no reply, and its exit code says what ended it."""
    with pytest.raises(ProcessDied):
        tell(process, f"os.kill(os.getpid(), {number:d})")
    code = process.end(HANG_SECONDS)
    assert (code, is_deadline(code)) == (-number, False)


@pytest.mark.parametrize(
    ("act", "number"),
    [
        ("with deadline(0.1, 1000): time.sleep(1000)", signal.SIGALRM),
        ("with deadline(1000, 0.1):\n while True: pass", signal.SIGPROF),
    ],
    ids=["waits", "computes"],
)
def test_a_deadline_ends_a_process(process: DecoderProcess, act: str, number: signal.Signals) -> None:
    """One counts the time that passes; the other that of the processor, for which a busy machine is no fault."""
    with pytest.raises(ProcessDied):
        tell(process, act)
    code = process.end(HANG_SECONDS)
    assert (code, is_deadline(code)) == (-number, True)


def test_after_its_deadline_a_process_goes_on(process: DecoderProcess) -> None:
    """Both clocks are stopped at the end of the work, also after an error."""
    clocks = "reply = str((signal.getitimer(signal.ITIMER_REAL)[0], signal.getitimer(signal.ITIMER_PROF)[0])).encode()"
    assert tell(process, "try:\n with deadline(1000, 1000): raise ValueError\nexcept ValueError: pass\n" + clocks) == (
        b"(0.0, 0.0)"
    )


def test_memory_is_limited(process: DecoderProcess) -> None:
    """An allocation beyond the limit fails, and the process goes on."""
    take = "limit_memory(500_000_000)\ntry: bytearray(2**30)\nexcept MemoryError: reply = b'no'"
    assert tell(process, take) == b"no"
    assert 1_000_000 < int(tell(process, "reply = str(memory_bytes()).encode()")) < 500_000_000


def test_a_process_that_never_starts_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever holds up an import, nobody waits for it without end."""
    monkeypatch.setattr(process_module, "START_SECONDS", 0.5)
    process = DecoderProcess("import time; time.sleep(1000)")
    with pytest.raises(ProcessDied):
        process.receive(100)
    assert process.end() == -signal.SIGALRM


def test_a_thread_that_waits_is_freed_by_a_kill(process: DecoderProcess) -> None:
    """Another thread may end a process at any time."""
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(tell, process, "time.sleep(1000)")
        wait_until(process._in_use.locked, "the thread waits")
        process.kill()
        with pytest.raises(ProcessDied):
            waiting.result(HANG_SECONDS)


def test_processes_are_used_again_and_end_with_their_pool() -> None:
    """A process is started if none is idle; one that has died meanwhile is not given out."""
    pool = ProcessPool(OBEY, b"number = 7", b"reply = str(number).encode()")
    first = pool.start()
    pool.give_back(first)
    assert pool.take_idle() is first
    assert pool.take_idle() is None
    pool.give_back(first)
    first.kill()
    wait_until(lambda: not first.is_alive, "the process has ended")
    assert pool.take_idle() is None
    second = pool.start()
    pool.close()
    with pytest.raises(ProcessDied):
        tell(second, "reply = b'still here'")
    assert pool.end(second) == -signal.SIGKILL
    with pytest.raises(PoolClosed):
        pool.start()
