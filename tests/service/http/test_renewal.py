"""A running service goes on from a new index: on SIGHUP, or because its catalogue has changed; the old one answers."""

from __future__ import annotations

import fcntl
import gzip
import os
import pty
import resource
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import anyio
import orjson
import pytest

from pipeline.errors import ServiceError
from pipeline.service.engine.engine import CatalogueEngine, open_engine
from pipeline.service.engine.renewal import Renewal, stamp_of
from pipeline.service.findings import CatalogueConfig, Item
from pipeline.service.http.app import CURRENT, AppConfig, build_app
from pipeline.service.http.endpoints import Endpoints
from pipeline.service.http.envelope import Call
from pipeline.service.http.objects import Json
from tests.service.engine.drawing import draw, fill

# Unlike `python -m`, the installed command doesn't import from the working folder.
COMMAND = Path(sys.executable).with_name("image-insights")
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return fill(tmp_path / "pictures", 3)


@pytest.fixture
def table(tmp_path: Path, pictures: Path) -> Path:
    """Write a catalogue of the three pictures."""
    path = tmp_path / "list.csv"
    path.write_text(
        "id,image\n" + "".join(f"{file.stem},pictures/{file.name}\n" for file in sorted(pictures.iterdir()))
    )
    return path


@pytest.fixture
def launch(project: Path, tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts `serve` over a catalogue; what still runs at the end is killed."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(catalogue: Path, watch: float = 0.0, **options: Any) -> subprocess.Popen[bytes]:
        command = [str(COMMAND), "serve", "--catalogue", str(catalogue), "--port", "0"]
        command += ["--index", str(tmp_path / "index"), "--set", f"service.watch={watch}"]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        running.append(subprocess.Popen(command, **{"cwd": project, **pipes}))
        return running[-1]

    yield begin
    for child in running:
        child.kill()
        child.communicate()


def port_of(service: subprocess.Popen[bytes]) -> int:
    assert service.stdout is not None
    return int(orjson.loads(service.stdout.readline())["port"])


def said(service: subprocess.Popen[bytes], word: str = "renewed") -> str:
    """Return the next line on stderr that has a word."""
    assert service.stderr is not None
    return next(line for line in map(bytes.decode, service.stderr) if word in line)


def get(port: int, path: str) -> dict[str, Any]:
    with urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
        found: dict[str, Any] = orjson.loads(answer.read())
        return found


def health(port: int) -> dict[str, Any]:
    return get(port, "/healthz")


def ids(port: int) -> set[str]:
    """Return the names of all rows that the service finds by words."""
    return {found["name"] for found in get(port, "/v7.0/images/search?q=00")["value"]}


def add_row(table: Path, pictures: Path, number: int) -> None:
    draw(number).save(pictures / f"{number:03}.png")
    with table.open("a") as stream:
        stream.write(f"{number:03},pictures/{number:03}.png\n")


def build_of(service: int) -> int:
    """Return the process in which a service builds its index, once there is one; others read text."""
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up:
        for child in Path(f"/proc/{service}/task/{service}/children").read_text().split():
            with suppress(OSError):  # it has ended meanwhile
                if b"renewal" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
    raise AssertionError("no build has begun")


@contextmanager
def builders_wait(index_dir: Path) -> Iterator[None]:
    """Hold the lock of an index, as a build does that takes its time."""
    with (index_dir / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def test_sighup_renews_the_index(launch: Start, table: Path, pictures: Path) -> None:
    """After SIGHUP the service knows the new row, by pictures and by words, under another version."""
    service = launch(table)
    port = port_of(service)
    before = health(port)
    assert ids(port) == {"000", "001", "002"}
    add_row(table, pictures, 3)
    service.send_signal(signal.SIGHUP)
    assert "index: renewed: 4 rows" in said(service)
    after = health(port)
    assert (before["pictures"], after["pictures"]) == (3, 4)
    assert before["version"] != after["version"]
    assert ids(port) == {"000", "001", "002", "003"}


@pytest.mark.parametrize("kind", ["table", "folder"])
def test_a_changed_catalogue_is_noticed(launch: Start, table: Path, pictures: Path, kind: str) -> None:
    """A table that is written, or a folder that gets a picture, is indexed by itself."""
    service = launch(table if kind == "table" else pictures, watch=0.05)
    port = port_of(service)
    add_row(table, pictures, 3)
    assert "(the catalogue has changed)" in said(service, "building anew")
    assert "index: renewed: 4 rows" in said(service)
    assert health(port)["pictures"] == 4


def test_the_old_index_answers_while_the_new_one_is_built(
    launch: Start, table: Path, pictures: Path, tmp_path: Path
) -> None:
    """A build that takes its time delays no answer; as soon as it is done, it counts."""
    service = launch(table)
    port = port_of(service)
    with builders_wait(tmp_path / "index"):
        add_row(table, pictures, 3)
        service.send_signal(signal.SIGHUP)
        assert health(port)["pictures"] == 3
        assert ids(port) == {"000", "001", "002"}
    assert "renewed" in said(service)
    assert health(port)["pictures"] == 4


def test_a_catalogue_that_is_wrong_changes_nothing(launch: Start, table: Path, pictures: Path) -> None:
    """The reason is said, the old rows are still found, and a catalogue that is right again is taken."""
    service = launch(table)
    port, good = port_of(service), table.read_text()
    table.write_text("no,columns\n1,2\n")
    service.send_signal(signal.SIGHUP)
    assert "index: not renewed: " in (line := said(service))
    assert "list.csv" in line
    assert ids(port) == {"000", "001", "002"}
    table.write_text(good)
    add_row(table, pictures, 3)
    service.send_signal(signal.SIGHUP)
    assert "renewed: 4 rows" in said(service)


def test_a_catalogue_that_is_cut_off_takes_no_whole_one_s_place(launch: Start, tmp_path: Path, pictures: Path) -> None:
    """A copy that broke off is said, and the rows that were there are still found."""
    rows = "".join(f"{number},pictures/00{number % 3}.png,{number * 7919 % 10007:x}\n" for number in range(300))
    packed, path = gzip.compress(f"id,image,title\n{rows}".encode()), tmp_path / "list.csv.gz"
    path.write_bytes(packed)
    service = launch(path)
    port = port_of(service)
    path.write_bytes(packed[:-200])
    service.send_signal(signal.SIGHUP)
    assert "can't be read on after line" in said(service, "not renewed")
    assert health(port)["pictures"] == 300


def test_a_service_that_stops_ends_its_build(launch: Start, table: Path, pictures: Path, tmp_path: Path) -> None:
    """SIGTERM in the middle of a build ends both, and the exit is clean."""
    service = launch(table)
    port_of(service)
    with builders_wait(tmp_path / "index"):
        add_row(table, pictures, 3)
        service.send_signal(signal.SIGHUP)
        said(service, "index: building anew (SIGHUP)")
        service.send_signal(signal.SIGTERM)
        _, log = service.communicate(timeout=20)  # ends only when no process holds stderr any more
    assert service.returncode == 0
    assert b"Traceback" not in log


def test_what_keeps_a_build_from_starting_changes_nothing(launch: Start, table: Path, pictures: Path) -> None:
    """A machine that gives no new process is said; the old rows are found, and later the new ones."""
    service = launch(table)
    port = port_of(service)
    add_row(table, pictures, 3)
    soft, hard = resource.prlimit(service.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (len([*Path(f"/proc/{service.pid}/fd").iterdir()]), hard))
    service.send_signal(signal.SIGHUP)
    assert "not renewed: the build can't be started (Too many open files)" in said(service)
    resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (soft, hard))
    assert health(port)["pictures"] == 3
    service.send_signal(signal.SIGHUP)
    assert "renewed: 4 rows" in said(service)


async def test_words_that_can_not_be_indexed_leave_the_old_index(tmp_path: Path, pictures: Path) -> None:
    """An engine whose rows can't be read is not taken, with the one error that a renewal survives."""

    class Broken(CatalogueEngine):
        def items(self, numbers: Sequence[int] | None = None) -> Iterator[Item]:
            raise sqlite3.OperationalError("disk I/O error")

    old = open_engine(CatalogueConfig(path=pictures), tmp_path / "index")
    assert isinstance(old, CatalogueEngine)
    current = build_app(old, AppConfig())[CURRENT]
    with pytest.raises(ServiceError, match="disk I/O error"):
        await current.use(Broken(old.index))
    assert current.engine is old


def test_a_sighup_before_the_first_answer_is_kept(launch: Start, table: Path, pictures: Path, tmp_path: Path) -> None:
    """One that comes while the first index waits for another builder doesn't end the service: it renews it later."""
    (tmp_path / "index").mkdir()
    with builders_wait(tmp_path / "index"):
        service = launch(table)
        said(service, "another process builds this index")
        service.send_signal(signal.SIGHUP)
    assert health(port_of(service))["pictures"] == 3
    assert "renewed: 3 rows" in said(service)


def test_a_service_that_waits_for_a_builder_can_be_stopped(launch: Start, table: Path, tmp_path: Path) -> None:
    """It says what it waits for, and SIGTERM ends it while the other one still builds."""
    (tmp_path / "index").mkdir()
    with builders_wait(tmp_path / "index"):
        service = launch(table)
        said(service, "another process builds this index")
        service.send_signal(signal.SIGTERM)
        assert service.wait(timeout=20) == 0


def test_a_build_dies_with_its_service(launch: Start, table: Path, pictures: Path, tmp_path: Path) -> None:
    """After kill -9 of the service nothing goes on building: stderr, which the build holds too, comes to its end."""
    service = launch(table)
    port_of(service)
    with builders_wait(tmp_path / "index"):
        add_row(table, pictures, 3)
        service.send_signal(signal.SIGHUP)
        said(service, "index: building anew (SIGHUP)")
        build = build_of(service.pid)
        service.kill()
        service.wait()
        pidfd = os.pidfd_open(build)
        assert select.select([pidfd], [], [], 20)[0], "the build outlives its service"
        os.close(pidfd)


def test_a_working_folder_with_a_package_of_our_name(launch: Start, table: Path, pictures: Path) -> None:
    """What lies in the folder that the service is started from is no part of it, nor of its builds."""
    decoy = table.parent / "pipeline"
    decoy.mkdir()
    (decoy / "__init__.py").write_text("raise SystemExit('the wrong package')\n")
    service = launch(table, cwd=table.parent)
    port = port_of(service)
    add_row(table, pictures, 3)
    service.send_signal(signal.SIGHUP)
    assert "renewed: 4 rows" in said(service)
    assert health(port)["pictures"] == 4


def test_a_terminal_that_goes_away_ends_the_service(launch: Start, table: Path) -> None:
    """SIGHUP of a closed terminal is no wish for a new index."""
    master, terminal = pty.openpty()
    service = launch(table, stdin=terminal, start_new_session=True)
    os.close(terminal)
    port_of(service)
    os.close(master)
    service.send_signal(signal.SIGHUP)
    assert service.wait(timeout=20) == 0


async def test_a_call_stays_with_the_index_it_began_with(tmp_path: Path, pictures: Path) -> None:
    """A call in work when the engine is replaced goes on with the old one; the next call gets the new one."""
    old = open_engine(CatalogueConfig(path=pictures), tmp_path / "index")
    current = build_app(old, AppConfig())[CURRENT]
    first, begun, replaced = current.endpoints, anyio.Event(), anyio.Event()
    asked: list[Endpoints] = []

    async def method(endpoints: Endpoints, _: Call) -> Json:
        begun.set()
        await replaced.wait()
        asked.append(endpoints)
        return {}

    async def ask() -> None:
        await current.ask(method)(call)

    call: Any = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await begun.wait()
        await current.use(open_engine(CatalogueConfig(path=fill(pictures, 1, first=9)), tmp_path / "index"))
        replaced.set()
    await ask()
    assert asked == [first, current.endpoints]
    assert (old.count, current.engine.count) == (3, 4)


def test_what_is_watched_is_the_catalogue_itself(tmp_path: Path, table: Path, pictures: Path) -> None:
    """A table's stamp changes with its text, a folder's with its files at any depth; a missing one has none."""
    for path in (table, pictures):
        before = stamp_of(CatalogueConfig(path=path))
        (pictures / "deep").mkdir(exist_ok=True)
        draw(1).save(pictures / "deep" / f"{path.name}.png")
        table.write_text(table.read_text() + "9,pictures/000.png\n")
        assert before
        assert stamp_of(CatalogueConfig(path=path)) != before
    assert stamp_of(CatalogueConfig(path=tmp_path / "nowhere.csv")) == ()
    assert Renewal(catalogue=CatalogueConfig(path=table), index_dir=tmp_path).every == 0
