"""How hosts are treated, on a clock that jumps: turns, delays, hosts that are gone and hosts that come back."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import anyio
import pytest
from anyio import current_time

from pipeline.downloads import hosts as module
from pipeline.downloads.errors import DownloadError
from pipeline.downloads.hosts import Host, HostRules, Hosts

VIRTUAL_CLOCK = True
TIMEOUT = 10.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the times of a real run."""
    monkeypatch.setattr(module, "SILENCE_SECONDS", 30.0)


async def attempt(host: Host, *, answers: bool, seconds: float = 1.0) -> None:
    """Send a request that is answered after `seconds`, or fails after TIMEOUT."""
    sent_at = current_time()
    await anyio.sleep(seconds if answers else TIMEOUT)
    if not answers:
        error = DownloadError("timeout", "no response", "silent")
        host.note_silence(error, sent_at, current_time())
        raise error
    host.note_response()
    host.note_picture(current_time())


async def download(hosts: Hosts, name: str, *, answers: bool) -> float:
    """Do what a Downloader does with a host that may be gone; return when it was done."""
    while True:
        try:
            async with hosts.turn(name) as host:
                await attempt(host, answers=answers)
                return current_time()
        except DownloadError as error:
            if error.retry != "silent":
                raise


async def test_hosts_that_are_gone_hold_up_nobody() -> None:
    """Of 40 dead URLs and 40 good ones on other hosts, the good ones are done before the first dead one fails."""
    hosts = Hosts(HostRules())
    start, done, failed = current_time(), list[float](), list[float]()

    async def one(number: int) -> None:
        try:
            done.append(await download(hosts, f"{number % 2}.example", answers=number % 2 == 0) - start)
        except DownloadError:
            failed.append(current_time() - start)

    async with anyio.create_task_group() as group:
        for number in range(80):
            group.start_soon(one, number)
    assert (len(done), len(failed)) == (40, 40)
    assert max(done) == 5  # eight at a time, a second each
    assert min(failed) > TIMEOUT


async def test_a_host_that_is_gone_is_given_up_once_for_all_its_pictures() -> None:
    """A thousand pictures of a dead host take as long as a few: one request at a time tries it, then all fail."""
    hosts = Hosts(HostRules())
    start, failed = current_time(), Counter[str]()

    async def one() -> None:
        with pytest.raises(DownloadError, match="its host has not responded for") as caught:
            await download(hosts, "dead.example", answers=False)
        failed[caught.value.code] += 1
        assert caught.value.retryable

    async with anyio.create_task_group() as group:
        for _ in range(1000):
            group.start_soon(one)
    assert failed == {"timeout": 1000}
    assert 30 <= current_time() - start <= 60


async def test_a_host_that_was_given_up_is_tried_again_by_one_request() -> None:
    """After a rest it is sent one request; when that is answered, all rows have their pictures again."""
    hosts = Hosts(HostRules())
    with pytest.raises(DownloadError):
        await download(hosts, "a.example", answers=False)
    with pytest.raises(DownloadError, match="has not responded"):
        await download(hosts, "a.example", answers=True)
    await anyio.sleep(60)
    at_once: list[int] = []
    running = 0

    async def one() -> None:
        nonlocal running
        async with hosts.turn("a.example") as host:
            running += 1
            at_once.append(running)
            await attempt(host, answers=True)
            running -= 1

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(one)
    assert at_once[0] == 1
    assert max(at_once) <= 8
    assert len(at_once) == 20


async def test_a_short_outage_costs_no_row() -> None:
    """Rows wait for a host that is gone for 20 s, without using up their attempts."""
    hosts = Hosts(HostRules())
    start = current_time()
    done: list[float] = []

    async def one() -> None:
        while True:
            try:
                async with hosts.turn("a.example") as host:
                    await attempt(host, answers=current_time() - start > 12)
                    done.append(current_time())
                    return
            except DownloadError as error:
                if error.retry != "silent":
                    raise

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(one)
    assert len(done) == 50


async def test_requests_to_a_host_keep_their_delay() -> None:
    """With a delay of half a second, ten requests of any number of rows take four and a half seconds to start."""
    hosts = Hosts(HostRules(delay=0.5))
    starts: list[float] = []

    async def one() -> None:
        async with hosts.turn("a.example"):
            starts.append(current_time())

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(one)
        async with hosts.turn("b.example"):
            assert current_time() == pytest.approx(1000, abs=0.01)  # another host has a delay of its own
    assert [late - early for early, late in pairwise(starts)] == pytest.approx([0.5] * 9)


async def test_pauses_for_a_busy_host_grow_once_for_rows_that_failed_together() -> None:
    """Eight rows that are told to come later at the same time are one sign, not eight."""
    host = Host(HostRules(), anyio.Semaphore(8))
    waits = []
    for sent_at in (0.0, 10.0, 20.0):
        for _ in range(8):
            host.note_busy(DownloadError("http-429", "busy", "throttled"), sent_at, sent_at + 1)
        waits.append(host.not_before - sent_at - 1)
    assert waits == [0.5, 1.0, 2.0]


async def test_hosts_are_forgotten() -> None:
    """A manifest with a host for each row leaves nothing behind of those that answered."""
    hosts = Hosts(HostRules())
    for number in range(1000):
        await download(hosts, f"{number}.example", answers=True)
    assert len(hosts._hosts) == 0
