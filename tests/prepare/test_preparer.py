"""The async edge: threads, processes, memory, cancellation."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import anyio
import pytest

from pipeline.config import PrepareConfig, RetryConfig
from pipeline.errors import PrepareError, SourceError
from pipeline.prepare import decoder_threads
from pipeline.prepare.budget import Budget
from pipeline.prepare.fit import fit
from pipeline.prepare.fit_rules import FitRules
from pipeline.prepare.preparer import Preparer
from pipeline.records import Form, Image, InsightsToken, Limits, LocalFile, Prepared, RemoteUrl, Row
from tests.prepare.pictures import scene, stored
from tests.waiting import HANG_SECONDS, until


def limits(*forms: Form) -> Limits:
    return Limits(max_bytes=100_000, max_side_px=300, forms=frozenset(forms or ("bytes",)))


def row(image: Image) -> Row:
    return Row(id="1", image=image, ordinal=0, line=1)


async def prepared_by(preparer: Preparer, of: Row) -> Prepared | None:
    """Prepare a row, and let go of its place in memory."""
    async with preparer.picture(of) as prepared:
        return prepared


@pytest.fixture
def large(tmp_path: Path) -> Row:
    path = tmp_path / "large.jpg"
    path.write_bytes(stored(scene(900, 600), "JPEG"))
    return row(LocalFile(path=str(path), name="large.jpg"))


@pytest.mark.parametrize("isolate", [False, True], ids=["threads", "processes"])
async def test_row_is_prepared(large: Row, *, isolate: bool) -> None:
    """A local picture comes back within the limits, from a thread or from a process."""
    async with Preparer(PrepareConfig(isolate=isolate), limits(), RetryConfig()) as preparer:
        prepared = await prepared_by(preparer, large)
    assert prepared is not None
    assert (prepared.width, prepared.height, prepared.action) == (300, 200, "encoded")


async def test_the_loop_gets_the_gil_sooner_while_pictures_are_prepared() -> None:
    """Threads release the GIL ten times sooner than by default, and the default is restored afterwards."""
    usual = sys.getswitchinterval()
    async with Preparer(PrepareConfig(isolate=False), limits(), RetryConfig()):
        assert sys.getswitchinterval() < usual / 5
    assert sys.getswitchinterval() == usual


@pytest.mark.parametrize("image", [InsightsToken(token="t"), RemoteUrl(url="http://127.0.0.1:1/a.jpg")])
async def test_token_and_url_go_as_they_are(image: Image) -> None:
    """Nothing is downloaded if the service accepts the token or the URL itself."""
    async with Preparer(PrepareConfig(), limits("url", "bytes"), RetryConfig()) as preparer:
        assert await prepared_by(preparer, row(image)) is None


async def test_url_is_fetched_where_the_service_takes_bytes_alone() -> None:
    """If the service accepts only bytes, the URL is downloaded, and its address is checked."""
    async with Preparer(PrepareConfig(), limits("bytes"), RetryConfig()) as preparer:
        with pytest.raises(SourceError) as caught:
            await prepared_by(preparer, row(RemoteUrl(url="http://127.0.0.1:1/a.jpg")))
    assert caught.value.code == "refused-address"


@pytest.mark.parametrize("isolate", [False, True], ids=["threads", "processes"])
async def test_prepare_error_keeps_its_code_and_message(tmp_path: Path, *, isolate: bool) -> None:
    """A picture that can't be sent raises the same PrepareError from a thread and from a process."""
    (tmp_path / "a.jpg").write_bytes(b"<html>")
    async with Preparer(PrepareConfig(isolate=isolate), limits(), RetryConfig()) as preparer:
        with pytest.raises(PrepareError, match="web page") as caught:
            await prepared_by(preparer, row(LocalFile(path=str(tmp_path / "a.jpg"), name="a.jpg")))
    assert caught.value.code == "not-a-picture"


class BlockedFit:
    """A stand-in for fit(): blocks until released, and counts how many run at once and on which threads."""

    def __init__(self) -> None:
        self.running = self.most = 0
        self.threads: set[int] = set()
        self.lock = threading.Lock()
        self.started = threading.Event()
        self.released = threading.Event()

    def __call__(self, data: bytes, rules: FitRules) -> Prepared:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
            self.threads.add(threading.get_ident())
        self.started.set()
        assert self.released.wait(HANG_SECONDS)
        with self.lock:
            self.running -= 1
        return fit(data, rules)


@pytest.fixture
def blocked_fit(monkeypatch: pytest.MonkeyPatch) -> BlockedFit:
    stand_in = BlockedFit()
    monkeypatch.setattr(decoder_threads, "fit", stand_in)
    return stand_in


@pytest.mark.parametrize(("workers", "share", "most"), [(3, 1, 1), (3, 2, 2), (2, 9, 2)])
async def test_memory_and_workers_bound_what_runs_at_once(
    large: Row, blocked_fit: BlockedFit, monkeypatch: pytest.MonkeyPatch, workers: int, share: int, most: int
) -> None:
    """As many pictures are decoded at once as the budget of bytes allows, and never more than there are workers."""
    monkeypatch.setattr(decoder_threads, "fit_from_header", lambda data, rules: 1_000_000)
    config = PrepareConfig(isolate=False, workers=workers, max_decode_bytes=share * 1_000_000)
    async with Preparer(config, limits(), RetryConfig()) as preparer, anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(prepared_by, preparer, large)
        await until(lambda: blocked_fit.running == most, f"{most} run")
        blocked_fit.released.set()
    assert blocked_fit.most == most
    assert threading.get_ident() not in blocked_fit.threads


async def test_cancelled_row_gives_back_what_it_held(large: Row, blocked_fit: BlockedFit) -> None:
    """A cancelled prepare() returns its memory and its worker, and the next row goes through."""
    async with Preparer(
        PrepareConfig(isolate=False, workers=1, max_decode_bytes=5_000_000), limits(), RetryConfig()
    ) as preparer:
        async with anyio.create_task_group() as group:
            group.start_soon(prepared_by, preparer, large)
            group.start_soon(prepared_by, preparer, large)
            await until(blocked_fit.started.is_set, "one runs")
            group.cancel_scope.cancel()
            blocked_fit.released.set()
        with anyio.fail_after(HANG_SECONDS):
            assert await prepared_by(preparer, large) is not None


async def test_a_picture_that_is_held_keeps_another_from_being_read(large: Row) -> None:
    """However many rows are prepared, as many pictures are in memory as there are places: two for each worker."""
    config = PrepareConfig(isolate=False, workers=1)
    held = 0

    async def hold(until_let_go: anyio.Event) -> None:
        nonlocal held
        async with preparer.picture(large):
            held += 1
            await until_let_go.wait()

    async with Preparer(config, limits(), RetryConfig()) as preparer, anyio.create_task_group() as group:
        let_go = anyio.Event()
        for _ in range(5):
            group.start_soon(hold, let_go)
        await until(lambda: held == 2, "two are in memory")
        await anyio.wait_all_tasks_blocked()
        assert held == 2
        let_go.set()
    assert held == 5


async def test_large_picture_is_not_overtaken_for_ever() -> None:
    """A large amount waits until it is free, and later requests wait behind it."""
    budget = Budget(10)
    order: list[str] = []

    async def take(name: str, amount: int) -> None:
        async with budget.take(amount):
            order.append(name)

    async with anyio.create_task_group() as group, budget.take(5):
        group.start_soon(take, "large", 10)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(take, "small", 1)
        await anyio.wait_all_tasks_blocked()
        assert order == []
    assert order == ["large", "small"]


async def test_cancelled_wait_takes_nothing() -> None:
    """A cancelled wait does not change the budget."""
    budget = Budget(10)
    async with budget.take(6):
        with anyio.move_on_after(0.01):
            async with budget.take(8):
                raise AssertionError("it can't have fitted")
    with anyio.fail_after(HANG_SECONDS):
        async with budget.take(10):
            pass
