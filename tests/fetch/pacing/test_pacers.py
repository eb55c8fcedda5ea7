"""One rate for many processes: over a file, and over a real Redis."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import anyio
import pytest
from anyio import current_time
from pydantic import SecretStr

from pipeline.errors import ConfigError, OutputError, PacerLost
from pipeline.fetch.pacing import file_pacer as file_pacer_module
from pipeline.fetch.pacing.file_pacer import FilePacer, file_pacer
from pipeline.fetch.pacing.open import key_name, open_pacer
from pipeline.fetch.pacing.pace import PENDING_LIMIT, Permit
from pipeline.fetch.pacing.pacer import Pacer, ProcessPacer
from pipeline.fetch.policy import RateLimit

FAST = RateLimit(qps=100)

# Sends as fast as the shared pacer lets it, until the time is over; prints its stamps of the machine's clock.
SENDER = """
import sys, anyio
from pathlib import Path
from anyio import current_time
from pydantic import SecretStr
from pipeline.fetch.pacing.pace import Permit
from pipeline.fetch.pacing.open import open_pacer
from pipeline.fetch.policy import RateLimit

async def main(kind, folder, qps, until):
    limits = RateLimit(qps=float(qps))
    async with open_pacer(kind, "https://api", SecretStr("k"), limits, folder=Path(folder)) as pacer:
        print("ready", flush=True)
        while current_time() < float(until):
            if isinstance(got := await pacer.take(), Permit):
                await pacer.settle(got, sent=True)
                print(got.sent_at)
            else:
                await anyio.sleep(got)

anyio.run(main, *sys.argv[1:])
"""


def senders(count: int, kind: str, folder: Path, qps: int, seconds: float) -> list[list[float]]:
    """Run so many sending processes at once; return the stamps of each."""
    until = time.monotonic() + seconds
    command = [sys.executable, "-c", SENDER, kind, str(folder), str(qps), str(until)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    outputs = [process.communicate(timeout=30)[0].split() for process in running]
    assert [process.returncode for process in running] == [0] * count
    return [[float(stamp) for stamp in output[1:]] for output in outputs]


def most_in_a_second(stamps: list[float]) -> int:
    inside: deque[float] = deque()
    most = 0
    for stamp in sorted(stamps):
        inside.append(stamp)
        while inside[0] <= stamp - 1.0:
            inside.popleft()
        most = max(most, len(inside))
    return most


async def take(pacer: Pacer) -> Permit:
    got = await pacer.take()
    if isinstance(got, Permit):
        return got
    await anyio.sleep(got)
    return await take(pacer)


def test_processes_share_one_rate_through_a_file(tmp_path: Path) -> None:
    """Four processes together never send more than the limit in any second, nearly reach it, and share it."""
    each = senders(4, "file", tmp_path, 100, 2.5)
    together = sorted(stamp for stamps in each for stamp in stamps)
    assert most_in_a_second(together) <= 100
    assert len(together) >= 0.9 * 100 * (together[-1] - together[0])
    assert min(len(stamps) for stamps in each) >= 0.5 * len(together) / 4


def test_a_killed_process_leaves_nothing_locked(tmp_path: Path) -> None:
    """After kill -9 in the middle of taking permits the others go on at the full rate, before old ones are forgotten.

    One second at that rate shows it: in others a busy machine may have kept the sender from its turn.
    """
    command = [sys.executable, "-c", SENDER, "file", str(tmp_path), "1000", str(time.monotonic() + 60)]
    for _ in range(3):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.stdout.readline()
            process.send_signal(signal.SIGKILL)
    killed_at, stamps = time.monotonic(), list[float]()
    command[-2:] = ["100", str(killed_at + PENDING_LIMIT - 1)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for line in process.stdout:
            stamps.append(float(line))
            if most_in_a_second(stamps[-100:]) >= 90:
                process.kill()
                break
    assert most_in_a_second(stamps) >= 90


async def test_a_pause_reaches_other_processes(tmp_path: Path) -> None:
    """Two who opened the file by themselves keep one pause; it outlives the one that set it."""
    async with file_pacer(tmp_path / "pace", FAST) as one:
        await one.begin_pause(30.0)
    async with file_pacer(tmp_path / "pace", FAST) as other:
        assert await other.take() == pytest.approx(30.0, abs=1.0)


async def test_times_from_before_a_reboot_mean_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file written when the machine's clock read otherwise is started afresh."""
    async with file_pacer(tmp_path / "pace", FAST) as before:
        await before.begin_pause(3600.0)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    async with file_pacer(tmp_path / "pace", FAST) as after:
        assert isinstance(await after.take(), Permit)


async def test_a_process_that_hangs_with_the_lock_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No wait without an end: after some seconds the run stops and names the file."""
    monkeypatch.setattr(file_pacer_module, "LOCK_TIMEOUT", 0.05)
    async with file_pacer(tmp_path / "pace", FAST) as one, file_pacer(tmp_path / "pace", FAST) as other:
        with await other._locked(), pytest.raises(OutputError, match=r"pace has been locked"):
            await one.take()
        assert isinstance(await one.take(), Permit)


async def test_the_file_is_the_users_own(tmp_path: Path) -> None:
    """Only its owner can read it, and neither its name nor its content holds the key."""
    key = SecretStr("secret-key-0123456789")
    async with open_pacer("file", "https://api", key, FAST, folder=tmp_path) as pacer:
        assert isinstance(pacer, FilePacer)
        await take(pacer)
    (path,) = (tmp_path / "pace").iterdir()
    assert path.name == key_name("https://api", key) != key_name("https://other", key)
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"secret-key" not in path.read_bytes()


async def test_a_folder_that_cant_be_written_is_a_config_error(tmp_path: Path) -> None:
    """The sentence names the way out."""
    (tmp_path / "pace").write_text("in the way")
    with pytest.raises(ConfigError, match=r'limits\.pacer = "process"'):
        async with open_pacer("file", "https://api", SecretStr("k"), FAST, folder=tmp_path):
            pass


@pytest.mark.parametrize(("kind", "key"), [("process", SecretStr("k")), ("file", None)], ids=["said", "no key"])
async def test_nothing_to_share(kind: str, key: SecretStr | None, tmp_path: Path) -> None:
    """Without a key, or where the config says so, the pacer is the process's own."""
    async with open_pacer(kind, "http://127.0.0.1", key, FAST, folder=tmp_path) as pacer:
        assert isinstance(pacer, ProcessPacer)
    assert not os.listdir(tmp_path)  # noqa: PTH208 - no pathlib in async functions


@contextmanager
def running_redis(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start a Redis of our own on a free loopback port; yield its URL and process."""
    program = shutil.which("redis-server")
    if program is None:
        assert not os.environ.get("REQUIRE_REDIS"), "redis-server is required here, but not installed"
        pytest.skip("redis-server is not installed (apt-get install redis-server)")
    with socket.socket() as detector:
        detector.bind(("127.0.0.1", 0))
        port = detector.getsockname()[1]
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        for _ in range(200):
            with socket.socket() as detector:
                if detector.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield f"redis://127.0.0.1:{port}/0", server
        server.terminate()


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a Redis that all tests here share."""
    with running_redis(tmp_path_factory.mktemp("redis")) as (url, _):
        yield url


def test_processes_share_one_rate_through_redis(redis_url: str, tmp_path: Path) -> None:
    """Three processes on Redis' clock together keep and nearly reach the limit."""
    each = senders(3, redis_url, tmp_path, 50, 2.5)
    together = sorted(stamp for stamps in each for stamp in stamps)
    assert most_in_a_second(together) <= 51  # the grant counts there, the stamp is taken after its way back
    assert len(together) >= 0.9 * 50 * (together[-1] - together[0])


async def test_redis_keeps_pace_pause_and_fractions(redis_url: str) -> None:
    """Even gaps, one pause for two clients, of which a shorter one ends nothing early."""
    limits = RateLimit(qps=20)
    key = SecretStr("one")
    async with (
        open_pacer(redis_url, "https://a", key, limits) as one,
        open_pacer(redis_url, "https://a", key, limits) as other,
        open_pacer(redis_url, "https://b", key, RateLimit(qps=0)) as free,
    ):
        stamps = [(await take(pacer)).granted_at for pacer in (one, other, one, other, one)]
        assert all(0.04 < after - before < 0.09 for before, after in pairwise(stamps))
        await one.begin_pause(0.5)
        await one.begin_pause(0.1)
        paused_at = current_time()
        assert isinstance(await free.take(), Permit)
        assert (await take(other)).granted_at - paused_at >= 0.4
        permit = await take(free)
        await free.settle(permit, sent=True)
        assert permit.sent_at is not None


async def test_what_a_refusal_teaches_is_shared_through_redis(redis_url: str) -> None:
    """A limit that one machine finds too high holds for the other; what never left gives its place back."""
    limits, key = RateLimit(qps=40), SecretStr("taught")
    async with (
        open_pacer(redis_url, "https://t", key, limits) as one,
        open_pacer(redis_url, "https://t", key, limits) as other,
    ):
        for _ in range(10):
            permit = await take(one)
            await one.settle(permit, sent=True)
        assert permit.load == 9
        await one.begin_pause(0.1, permit)
        found = [await take(other) for _ in range(10)]
        for unused in found[1:]:
            await other.settle(unused, sent=False)
        await other.settle(found[0], sent=True)
        assert found[0].load == 0
        assert found[-1].granted_at - found[0].granted_at > 9 / 10 * 0.9


async def test_late_arrivals_count_late_through_redis(redis_url: str) -> None:
    """Where a send arrived 80 ms late the one a second after it waits so long; one that has gone is not revived."""
    async with open_pacer(redis_url, "https://l", SecretStr("late"), RateLimit(qps=2)) as pacer:
        permits = []
        for _ in range(2):
            permits.append(await take(pacer))
            await pacer.settle(permits[-1], sent=True)
        await pacer.late(permits[0], 0.08)
        await pacer.late(Permit(granted_at=0.0, name="gone"), 0.08)
        third = await take(pacer)
        assert third.granted_at - permits[0].granted_at >= 1.08


async def test_no_redis_is_a_config_error() -> None:
    """Where none answers at the start the sentence names the place, not what else the URL holds."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"no Redis answers at 127\.0\.0\.1:{port}") as wrong:
            async with open_pacer(f"redis://:password@127.0.0.1:{port}/0", "https://a", SecretStr("k"), FAST):
                pass
    assert "password" not in str(wrong.value)


async def test_a_redis_that_goes_away_stops_the_run(tmp_path: Path) -> None:
    """Nothing is sent without the pacer; the run drains."""
    with running_redis(tmp_path) as (url, server):
        async with open_pacer(url, "https://c", SecretStr("k"), FAST) as pacer:
            assert isinstance(await pacer.take(), Permit)
            server.terminate()
            server.wait()
            with pytest.raises(PacerLost, match="no longer answers"):
                await pacer.take()
            with pytest.raises(PacerLost, match="no longer answers"):
                await pacer.begin_pause(1.0)
