"""One rate for many processes: over a file, and over a real Redis."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

import anyio
import pytest
import redis.asyncio
from anyio import current_time
from pydantic import SecretStr

from pipeline.errors import ConfigError, OutputError, PacerLost
from pipeline.fetch.pacing import file_pacer as file_pacer_module
from pipeline.fetch.pacing.file_pacer import FilePacer, file_pacer
from pipeline.fetch.pacing.open import key_name, open_pacer
from pipeline.fetch.pacing.pace import CATCH_UP, PENDING_LIMIT, Permit
from pipeline.fetch.pacing.pacer import Pacer, ProcessPacer
from pipeline.fetch.policy import RateLimit
from pipeline.records import Advice, Budget
from tests.clocks import VirtualLoop
from tests.waiting import HANG_SECONDS, wait_until

FAST = RateLimit(qps=100)

# Once it is told to on stdin, sends so many requests as fast as the shared pacer lets it; prints each send's stamp.
SENDER = """
import sys, anyio
from pathlib import Path
from pydantic import SecretStr
from pipeline.fetch.pacing.pace import Permit
from pipeline.fetch.pacing.open import open_pacer
from pipeline.fetch.policy import RateLimit

async def main(kind, folder, qps, count):
    limits = RateLimit(qps=float(qps))
    async with open_pacer(kind, "https://api", SecretStr("k"), limits, folder=Path(folder)) as pacer:
        print("ready", flush=True)
        sys.stdin.readline()
        for _ in range(int(count)):
            while not isinstance(got := await pacer.take(), Permit):
                await anyio.sleep(got)
            await pacer.settle(got, sent=True)
            print(got.sent_at, flush=True)

anyio.run(main, *sys.argv[1:])
"""


def sender(kind: str, folder: Path, qps: int, count: int) -> subprocess.Popen[str]:
    """Start a process that is ready to send, and wait until it is."""
    command = [sys.executable, "-c", SENDER, kind, str(folder), str(qps), str(count)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def send_together(processes: int, kind: str, folder: Path, qps: int, each: int) -> list[float]:
    """Let so many processes send at the same time; return all their stamps of the machine's clock, in order."""
    running = [sender(kind, folder, qps, each) for _ in range(processes)]
    for process in running:
        go(process)
    outputs = [process.communicate(timeout=HANG_SECONDS)[0].split() for process in running]
    assert [process.returncode for process in running] == [0] * processes
    stamps = sorted(float(stamp) for output in outputs for stamp in output)
    assert len(stamps) == processes * each
    return stamps


def most_in_a_second(stamps: list[float]) -> int:
    inside: deque[float] = deque()
    most = 0
    for stamp in sorted(stamps):
        inside.append(stamp)
        while inside[0] <= stamp - 1.0:
            inside.popleft()
        most = max(most, len(inside))
    return most


async def take(pacer: Pacer, amount: float = 0.0) -> Permit:
    got = await pacer.take(amount)
    if isinstance(got, Permit):
        return got
    await anyio.sleep(got)
    return await take(pacer, amount)


def on_a_virtual_clock(test: Callable[[], Awaitable[None]]) -> None:
    """Run an async function whose sleeps take no time, on a clock that begins with the machine's."""

    def loop() -> VirtualLoop:
        made = VirtualLoop()
        made.selector.now = time.monotonic()
        return made

    anyio.run(test, backend_options={"loop_factory": loop})


async def send_for(seconds: float, pacer: Pacer, stamps: list[float], chance: random.Random) -> None:
    """Send as fast as the pacer lets us, for so long, with timers that are up to a millisecond late."""
    until = current_time() + seconds
    while current_time() < until:
        if isinstance(got := await pacer.take(), Permit):
            await pacer.settle(got, sent=True)
            stamps.append(current_time())
        else:
            await anyio.sleep(got + chance.uniform(0, 0.001))


def test_processes_share_one_rate_through_a_file(tmp_path: Path) -> None:
    """Four processes together never send more than the limit in any second."""
    assert most_in_a_second(send_together(4, "file", tmp_path, 100, 40)) <= 100


def test_those_who_share_a_file_reach_the_rate_and_share_it(tmp_path: Path) -> None:
    """Four who opened the file by themselves together nearly reach the limit, and none gets less than half a share."""
    each: list[list[float]] = [[] for _ in range(4)]

    async def send() -> None:
        chance = random.Random(4)
        async with AsyncExitStack() as opened, anyio.create_task_group() as tasks:
            for stamps in each:
                pacer = await opened.enter_async_context(file_pacer(tmp_path / "pace", FAST))
                tasks.start_soon(send_for, 2.5, pacer, stamps, chance)

    on_a_virtual_clock(send)
    together = sum(map(len, each))
    assert together >= 0.95 * 100 * 2.5
    assert min(map(len, each)) >= 0.5 * together / 4


def test_a_killed_process_leaves_nothing_locked(tmp_path: Path) -> None:
    """After kill -9 in the middle of taking permits others go on at the full rate, before old ones are forgotten."""
    for _ in range(3):
        with sender("file", tmp_path, 1000, 1_000_000) as process:
            go(process)
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(signal.SIGKILL)
    stamps: list[float] = []

    async def send() -> None:
        async with open_pacer("file", "https://api", SecretStr("k"), FAST, folder=tmp_path) as pacer:
            await send_for(PENDING_LIMIT - 1, pacer, stamps, random.Random(1))

    on_a_virtual_clock(send)
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


async def test_a_file_of_another_version_is_started_afresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its cells mean is not known."""
    async with file_pacer(tmp_path / "pace", FAST) as before:
        await before.begin_pause(3600.0)
    monkeypatch.setattr(file_pacer_module, "LAYOUT", 3.0)
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


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


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
        wait_until(lambda: listens(port), "Redis listens")
        yield f"redis://127.0.0.1:{port}/0", server
        server.terminate()


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a Redis that all tests here share."""
    with running_redis(tmp_path_factory.mktemp("redis")) as (url, _):
        yield url


async def granted_at(url: str, endpoint: str, key: SecretStr) -> list[float]:
    """Return when the permits that are still out were granted, on Redis' own clock, which no busy machine delays."""
    async with redis.asyncio.Redis.from_url(url) as client:
        name = f"image-insights:{key_name(endpoint, key)}:pending"
        granted: list[tuple[bytes, float]] = await client.zrange(name, 0, -1, withscores=True)  # type: ignore[assignment] # redis-py types the form without scores
        return [at for _, at in granted]


def test_processes_share_one_rate_through_redis(redis_url: str, tmp_path: Path) -> None:
    """Three processes on Redis' clock together keep the limit.

    Redis counts a send before its sender stamps it, so that each sender may have one stamp in a second too late.
    """
    assert most_in_a_second(send_together(3, redis_url, tmp_path, 50, 30)) <= 50 + 3


async def test_redis_keeps_an_even_pace(redis_url: str) -> None:
    """Two clients in turn get their permits a fifth of a second apart, and none is made to wait for longer."""
    key, limits, waits = SecretStr("one"), RateLimit(qps=5), list[float]()
    async with (
        open_pacer(redis_url, "https://a", key, limits) as one,
        open_pacer(redis_url, "https://a", key, limits) as other,
    ):
        for pacer in (one, other, one, other, one):
            while not isinstance(got := await pacer.take(), Permit):
                waits.append(got)
                await anyio.sleep(got)
        stamps = await granted_at(redis_url, "https://a", key)
    step = (1 + limits.guard) / limits.qps
    assert min(after - before for before, after in pairwise(stamps)) >= step - CATCH_UP - 1e-5
    assert max(waits, default=0.0) <= step + 1e-5


async def test_a_pause_reaches_other_clients_of_redis(redis_url: str) -> None:
    """One pause for two clients, of which a shorter one ends nothing early; another service has its own."""
    key = SecretStr("one")
    async with (
        open_pacer(redis_url, "https://p", key, FAST) as one,
        open_pacer(redis_url, "https://p", key, FAST) as other,
        open_pacer(redis_url, "https://free", key, RateLimit(qps=0)) as free,
    ):
        await one.begin_pause(1_000.0)
        await one.begin_pause(0.1)
        wait = await other.take()
        assert isinstance(wait, float)
        assert 1_000 - HANG_SECONDS < wait <= 1_000
        permit = await take(free)
        await free.settle(permit, sent=True)
        assert permit.sent_at is not None


async def test_what_a_refusal_teaches_is_shared_through_redis(redis_url: str) -> None:
    """A limit that one machine finds too high holds for the other; what never left gives its place back."""
    key, wide = SecretStr("taught"), RateLimit(qps=0, guard=HANG_SECONDS)  # a window that ten sends fit in at any speed
    async with (
        open_pacer(redis_url, "https://t", key, wide) as one,
        open_pacer(redis_url, "https://t", key, RateLimit(qps=40)) as other,
    ):
        for _ in range(10):
            permit = await take(one)
            await one.settle(permit, sent=True)
        assert permit.load == 9
        await one.begin_pause(0.2, permit)
        granted = [await take(other) for _ in range(9)]
        stamps = await granted_at(redis_url, "https://t", key)
        for unused in granted[1:]:
            await other.settle(unused, sent=False)
        await other.settle(granted[0], sent=True)
        assert granted[0].load == 0
        assert stamps[-1] - stamps[0] > 8 / 9 * 0.99


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
            server.wait(HANG_SECONDS)
            with pytest.raises(PacerLost, match="no longer answers"):
                await pacer.take()
            with pytest.raises(PacerLost, match="no longer answers"):
                await pacer.begin_pause(1.0)


async def send_tokens(pacer: Pacer, stamps: list[tuple[float, float]], chance: random.Random) -> None:
    """Send 1,000 tokens each for three minutes, with timers that are late; answers say that it was 1,200."""
    until = current_time() + 180
    while current_time() < until:
        if isinstance(got := await pacer.take(1_000.0), Permit):
            await pacer.settle(got, sent=True)
            stamps.append((current_time(), 1_200.0))
            await pacer.answered(got, 1_200.0, Advice())
        else:
            await anyio.sleep(got + chance.uniform(0, 0.01))


def most_in_a_minute(stamps: list[tuple[float, float]]) -> float:
    return max(sum(amount for at, amount in stamps if start <= at < start + 60) for start, _ in stamps)


def test_processes_share_the_tokens_of_a_minute_through_a_file(tmp_path: Path) -> None:
    """Three who opened the file by themselves together stay below the limit, nearly reach it, and share it."""
    each: list[list[tuple[float, float]]] = [[] for _ in range(3)]
    limits = RateLimit(qps=0, amount_per_minute=60_000)

    async def send() -> None:
        chance = random.Random(5)
        async with AsyncExitStack() as opened, anyio.create_task_group() as tasks:
            for stamps in each:
                pacer = await opened.enter_async_context(file_pacer(tmp_path / "pace", limits))
                tasks.start_soon(send_tokens, pacer, stamps, chance)

    on_a_virtual_clock(send)
    together = sorted(stamp for stamps in each for stamp in stamps)
    assert 0.9 * 60_000 <= most_in_a_minute(together) <= 60_000
    assert min(map(len, each)) >= 0.2 * len(together)


async def test_tokens_are_counted_together_through_redis(redis_url: str) -> None:
    """What one machine has sent, and what its answer says it used, is no longer there for the other."""
    key, limits = SecretStr("tokens"), RateLimit(qps=0, amount_per_minute=10_000)
    async with (
        open_pacer(redis_url, "https://k", key, limits) as one,
        open_pacer(redis_url, "https://k", key, limits) as other,
    ):
        first, unused = await one.take(100.0), await other.take(50.0)
        assert isinstance(first, Permit)
        assert isinstance(unused, Permit)
        await one.settle(first, sent=True)
        await other.settle(unused, sent=False)
        await one.answered(first, 9_000.0, Advice())
        assert await sent_tokens(redis_url, "https://k", key) == 9_000
        waits = [await other.take(1_500.0), await other.take(900.0)]  # one has no room, the other keeps the even pace
        assert 61 >= waits[0] > waits[1] > 0  # type: ignore[operator] # a Permit is no number, and would fail here


async def sent_tokens(url: str, endpoint: str, key: SecretStr) -> float:
    """Return what Redis counts for the last minute."""
    async with redis.asyncio.Redis.from_url(url) as client:
        sums = await client.hgetall(f"image-insights:{key_name(endpoint, key)}:amounts")
        return sum(map(float, sums.values()))


async def test_what_headers_say_is_shared_through_redis(redis_url: str) -> None:
    """What is left of a limit, as one machine's answer says, is spread over both; too much for it waits for the end."""
    key = SecretStr("left")
    async with (
        open_pacer(redis_url, "https://h", key, RateLimit(qps=0)) as one,
        open_pacer(redis_url, "https://h", key, RateLimit(qps=0)) as other,
    ):
        permit, later = await one.take(100.0), await other.take(100.0)
        assert isinstance(permit, Permit)
        assert isinstance(later, Permit)
        for pacer, sent in ((one, permit), (other, later)):
            await pacer.settle(sent, sent=True)
        left = Budget(limit=10_000, remaining=1_000, reset=110)
        await one.answered(permit, 100.0, Advice(amount=left))
        wait = await other.take(950.0)  # 900 are left, as `later` was sent after the one that was answered
        assert isinstance(wait, float)
        assert 11 < wait <= 110
        wait = await other.take(500.0)
        assert isinstance(wait, float)
        assert 0 < wait <= 11
        await one.answered(later, 100.0, Advice(amount=Budget(limit=10_000, remaining=9_000, reset=10)))
        assert isinstance(await other.take(950.0), Permit)


async def test_a_refusal_for_too_many_tokens_teaches_all_machines(redis_url: str) -> None:
    """The tokens that were let through in the last minute become the limit of the next ones, for everyone."""
    key, limits = SecretStr("taught tokens"), RateLimit(qps=0)
    async with (
        open_pacer(redis_url, "https://m", key, limits) as one,
        open_pacer(redis_url, "https://m", key, limits) as other,
    ):
        permits = [await take(one, 1_000.0) for _ in range(4)]
        for permit in permits:
            await one.settle(permit, sent=True)
        await one.answered(permits[-1], 0.0, Advice())
        await one.begin_pause(0.001, permits[-1], by_amount=True)
        await anyio.sleep(0.01)
        wait = await other.take(1_000.0)
        assert isinstance(wait, float)
        assert 0 < wait <= 61
