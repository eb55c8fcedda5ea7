"""Decoder processes: what a picture can do to one, and that it does nothing to other rows."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import orjson
import pytest
from anyio import to_thread

from pipeline.decoding.process import DecoderProcess
from pipeline.errors import PrepareError
from pipeline.prepare import decoder_pool
from pipeline.prepare.budget import Budget
from pipeline.prepare.decoder_messages import (
    MAX_MESSAGE_BYTES,
    START,
    Settings,
    pack_failure,
    pack_settings,
    unpack_failure,
    unpack_settings,
)
from pipeline.prepare.decoder_pool import PROGRAM, DecoderPool
from pipeline.prepare.fit import fit
from pipeline.prepare.fit_rules import FitRules
from pipeline.records import Prepared
from tests.prepare.pictures import scene, stored
from tests.waiting import HANG_SECONDS, until

RULES = FitRules(max_bytes=100_000, max_side_px=300)
LARGE = stored(scene(900, 600), "JPEG")
SMALL = stored(scene(40, 30), "PNG")
# What a decoder does at the pixels of a picture of 500 px; it decodes all others.
POISON = stored(scene(500, 400), "PNG")
PATCHED = """
import os, signal, time
from PIL import ImageFile
from pipeline.prepare.decoder_child import main
load = ImageFile.ImageFile.load
def act():
    ACT
def poisoned_load(image):
    if image.size == (500, 400):
        act()
    return load(image)
ImageFile.ImageFile.load = poisoned_load
main()
"""


@asynccontextmanager
async def pool(*, workers: int = 1, timeout: float = 60, budget: int = 10**9) -> AsyncIterator[DecoderPool]:  # noqa: ASYNC109 - the pool's own setting
    with anyio.fail_after(HANG_SECONDS):
        async with DecoderPool(Settings(rules=RULES, timeout=timeout), workers, Budget(budget)) as running:
            yield running


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let decoders do something at the poison picture."""
    return lambda act: monkeypatch.setattr(decoder_pool, "PROGRAM", PATCHED.replace("ACT", act))


def children() -> set[int]:
    """Return the ids of the processes that this one has started and that still run."""
    pids = (path.name for path in Path("/proc").iterdir() if path.name.isdigit())
    return {int(pid) for pid in pids if _state_and_parent(Path("/proc", pid, "stat"))[1] == str(os.getpid())}


def _state_and_parent(stat: Path) -> list[str]:
    try:
        return stat.read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return ["X", ""]


def without_ms(prepared: Prepared) -> dict[str, object]:
    return {name: getattr(prepared, name) for name in Prepared.__dataclass_fields__ if name != "ms"}


@pytest.mark.parametrize("data", [LARGE, SMALL, stored(scene(900, 600), "WEBP"), POISON])
async def test_a_process_prepares_as_a_thread_does(data: bytes) -> None:
    """What comes back is the same in each field, whether it passed or was encoded."""
    async with pool() as decoders:
        assert without_ms(await decoders.fit(data)) == without_ms(fit(data, RULES))


async def test_one_process_prepares_one_picture_after_another() -> None:
    """A process is kept, also after a picture that can't be prepared, and ends with the pool."""
    before = children()
    async with pool() as decoders:
        await decoders.fit(LARGE)
        first = children() - before
        with pytest.raises(PrepareError, match="web page"):
            await decoders.fit(b"<html>")
        await decoders.fit(LARGE)
        assert children() - before == first
        assert len(first) == 1
    assert children() == before


@pytest.mark.parametrize(
    ("act", "code", "retryable"),
    [
        pytest.param("os.kill(os.getpid(), signal.SIGSEGV)", "decoder-died", True, id="crash"),
        pytest.param("os.kill(os.getpid(), signal.SIGKILL)", "decoder-died", True, id="out of memory"),
        pytest.param("os._exit(0)", "decoder-died", True, id="exit"),
        pytest.param("os.write(0, bytes(100)); time.sleep(1000)", "decoder-died", True, id="nonsense"),
        pytest.param("os.write(0, bytes([255] * 100)); time.sleep(1000)", "decoder-died", True, id="endless message"),
        pytest.param("bytearray(8 * 1024**3)", "too-much-memory", False, id="memory"),
    ],
)
async def test_a_poison_picture_fails_alone(
    poison: Callable[[str], None], act: str, code: str, *, retryable: bool
) -> None:
    """A picture that crashes its decoder, or takes it over, fails by its code; the next row is prepared."""
    poison(act)
    async with pool() as decoders:
        for _ in range(2):
            with pytest.raises(PrepareError) as caught:
                await decoders.fit(POISON)
            assert (caught.value.code, caught.value.retryable) == (code, retryable)
            assert (await decoders.fit(LARGE)).action == "encoded"


# A decoder's own clock runs towards the deadline, which goes by the picture's size, and is put forward to it.
NEAR_THE_END = (
    "assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 7\n    signal.setitimer(signal.ITIMER_REAL, 0.05)\n    "
)


@pytest.mark.parametrize("act", ["time.sleep(1000)", "while True: pass"], ids=["waits", "computes"])
async def test_a_picture_that_takes_too_long_is_ended(poison: Callable[[str], None], act: str) -> None:
    """A decoder that gets no further is ended at the deadline, and its row fails by name, for good."""
    poison(NEAR_THE_END + act)
    async with pool(timeout=60) as decoders:
        with pytest.raises(PrepareError, match=r"prepare\.decode_timeout \(60 s\), allow") as caught:
            await decoders.fit(POISON)
        assert (caught.value.code, caught.value.retryable) == ("too-slow", False)
        assert (await decoders.fit(LARGE)).action == "encoded"


async def test_a_wait_for_memory_is_not_on_the_clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The clock of a picture stands still while its process waits for the run."""
    clock = f"print(signal.getitimer(signal.ITIMER_REAL)[0], file=open({str(tmp_path / 'clock')!r}, 'a'))"
    noting = f"receive = Parent.receive; Parent.receive = lambda parent: ({clock}, receive(parent))[1]; "
    program = "import signal; from pipeline.decoding.child import Parent; "
    monkeypatch.setattr(decoder_pool, "PROGRAM", program + noting + PROGRAM)
    async with pool() as decoders:
        await decoders.fit(LARGE)
        await decoders.fit(SMALL)
    assert (tmp_path / "clock").read_text() == "0.0\n" * 5  # settings, a picture, its memory, a picture, the end


async def test_a_cancelled_picture_ends_its_process(poison: Callable[[str], None], tmp_path: Path) -> None:
    """No decoder works on for a run that has given up, and the pool goes on with a new one."""
    poison(f"os.mkdir({str(tmp_path / 'begun')!r}); time.sleep(1000)")
    before = children()
    async with pool() as decoders:
        async with anyio.create_task_group() as group:
            group.start_soon(decoders.fit, POISON)
            await until((tmp_path / "begun").exists, "the decoder is at work")
            group.cancel_scope.cancel()
        assert children() == before
        assert (await decoders.fit(LARGE)).action == "encoded"


async def test_a_process_that_died_while_it_was_idle_costs_no_row() -> None:
    """The system may end an idle process for its memory; the next picture gets another one."""
    before = children()
    async with pool() as decoders:
        await decoders.fit(LARGE)
        (idle,) = children() - before
        os.kill(idle, 9)
        await until(lambda: _state_and_parent(Path(f"/proc/{idle}/stat"))[0] == "Z", "the process is dead")
        assert (await decoders.fit(LARGE)).action == "encoded"


async def test_a_decoder_that_outlives_its_run_ends_at_the_deadline(
    poison: Callable[[str], None], tmp_path: Path
) -> None:
    """A run that is killed leaves no decoder behind that computes for ever: its own clock ends it."""
    poison(f"os.mkdir({str(tmp_path / 'begun')!r})\n    {NEAR_THE_END}while True: pass")
    decoder = DecoderProcess(decoder_pool.PROGRAM)
    decoder.send(pack_settings(Settings(rules=RULES, timeout=60)), POISON)
    await to_thread.run_sync(decoder.receive, MAX_MESSAGE_BYTES)
    decoder.send(START)
    await until((tmp_path / "begun").exists, "the decoder is at work")
    assert await to_thread.run_sync(decoder.end, HANG_SECONDS) == -signal.SIGALRM


async def test_a_process_that_can_not_start_costs_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no process to give, or Python has a broken installation, the row may be tried again."""
    monkeypatch.setattr(decoder_pool, "PROGRAM", "import missing_module")
    async with pool() as decoders:
        with pytest.raises(PrepareError) as caught:
            await decoders.fit(LARGE)
    assert (caught.value.code, caught.value.retryable) == ("decoder-died", True)


async def test_decoders_get_no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A decoder that is taken over by a picture finds no key in its environment."""
    monkeypatch.setenv("TEST_INSIGHTS_KEY", "recognisable-key")
    report = f"open({str(tmp_path / 'environ')!r}, 'w').write(open('/proc/self/environ').read());"
    monkeypatch.setattr(decoder_pool, "PROGRAM", report + PROGRAM)
    async with pool() as decoders:
        await decoders.fit(LARGE)
    said = (tmp_path / "environ").read_text()
    assert "PATH=" in said
    assert "recognisable-key" not in said


async def test_as_many_processes_work_at_once_as_there_are_workers() -> None:
    """Two pictures are decoded by two processes, five by no more."""
    before = children()
    most = 0
    async with pool(workers=2) as decoders, anyio.create_task_group() as group:

        async def fit_one() -> None:
            nonlocal most
            await decoders.fit(LARGE)
            most = max(most, len(children() - before))

        for _ in range(5):
            group.start_soon(fit_one)
    assert most == 2


def test_settings_and_failures_arrive_as_they_were_sent() -> None:
    """Rules survive the way to a process, and the text of an error the way back, lone surrogates replaced."""
    settings = Settings(rules=RULES, timeout=1.5)
    assert unpack_settings(pack_settings(settings)) == settings
    error = unpack_failure(orjson.loads(pack_failure(PrepareError("corrupt", "odd \ud800 text"))))
    assert (error.code, str(error)) == ("corrupt", "odd ? text")
