"""A running service replaces its index on SIGHUP, or when its catalogue has changed, and serves in the meantime."""

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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import anyio
import orjson
import pytest

from pipeline.errors import ServiceError
from pipeline.service.engine.decoders import Decoders
from pipeline.service.engine.engine import CatalogueEngine, open_engine
from pipeline.service.engine.renewal import RenewalConfig, catalogue_stamp
from pipeline.service.findings import CatalogueConfig, Item
from pipeline.service.http.app import CURRENT, AppConfig, build_app
from pipeline.service.http.call import Call
from pipeline.service.http.endpoints import Endpoints
from pipeline.service.http.json_objects import Json
from tests.service.engine.drawing import draw, fill
from tests.waiting import HANG_SECONDS, wait_until

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
    """Return a function that starts `serve` over a catalogue; processes that still run at the end are killed."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(catalogue: Path, watch: float = 0.0, **options: Any) -> subprocess.Popen[bytes]:
        command = [str(COMMAND), "serve", "--catalogue", str(catalogue), "--port", "0"]
        command += ["--index", str(tmp_path / "index"), "--set", f"service.watch={watch}", "--no-text"]
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


def next_line(service: subprocess.Popen[bytes], word: str = "renewed") -> str:
    """Return the next line on stderr with this word."""
    assert service.stderr is not None
    return next(line for line in map(bytes.decode, service.stderr) if word in line)


def get(port: int, path: str) -> dict[str, Any]:
    with urlopen(f"http://127.0.0.1:{port}{path}", timeout=HANG_SECONDS) as response:
        body: dict[str, Any] = orjson.loads(response.read())
        return body


def health(port: int) -> dict[str, Any]:
    return get(port, "/healthz")


def ids(port: int) -> set[str]:
    """Return the names of all rows that a search returns."""
    return {image["name"] for image in get(port, "/v7.0/images/search?q=00")["value"]}


def add_row(table: Path, pictures: Path, number: int) -> None:
    draw(number).save(pictures / f"{number:03}.png")
    with table.open("a") as stream:
        stream.write(f"{number:03},pictures/{number:03}.png\n")


def build_of(service: int) -> int:
    """Wait for the process in which a service builds its index, and return its id."""

    def build() -> int | None:
        for child in Path(f"/proc/{service}/task/{service}/children").read_text().split():
            with suppress(OSError):  # it has ended meanwhile
                if b"renewal" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
        return None

    return wait_until(build, "a build has started")


@contextmanager
def build_lock_held(index_dir: Path) -> Iterator[None]:
    """Hold the lock of an index, like a slow build."""
    with (index_dir / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def test_sighup_renews_the_index(launch: Start, table: Path, pictures: Path) -> None:
    """After SIGHUP the service has the new row, for pictures and searches, and another version."""
    service = launch(table)
    port = port_of(service)
    before = health(port)
    assert ids(port) == {"000", "001", "002"}
    add_row(table, pictures, 3)
    service.send_signal(signal.SIGHUP)
    assert "index: renewed: 4 rows" in next_line(service)
    after = health(port)
    assert (before["pictures"], after["pictures"]) == (3, 4)
    assert before["version"] != after["version"]
    assert ids(port) == {"000", "001", "002", "003"}


@pytest.mark.parametrize("kind", ["table", "folder"])
def test_a_changed_catalogue_is_noticed(launch: Start, table: Path, pictures: Path, kind: str) -> None:
    """A table that is changed, or a folder with a new picture, is indexed again."""
    service = launch(table if kind == "table" else pictures, watch=0.05)
    port = port_of(service)
    add_row(table, pictures, 3)
    assert "(the catalogue has changed)" in next_line(service, "rebuilding")
    assert "index: renewed: 4 rows" in next_line(service)
    assert health(port)["pictures"] == 4


def test_the_old_index_is_used_while_the_new_one_is_built(
    launch: Start, table: Path, pictures: Path, tmp_path: Path
) -> None:
    """A slow build delays no response; when it is done, its index is used."""
    service = launch(table)
    port = port_of(service)
    with build_lock_held(tmp_path / "index"):
        add_row(table, pictures, 3)
        service.send_signal(signal.SIGHUP)
        assert health(port)["pictures"] == 3
        assert ids(port) == {"000", "001", "002"}
    assert "renewed" in next_line(service)
    assert health(port)["pictures"] == 4


def test_a_catalogue_that_is_wrong_changes_nothing(launch: Start, table: Path, pictures: Path) -> None:
    """The reason is reported, the old rows are still found, and a corrected catalogue is used."""
    service = launch(table)
    port, good = port_of(service), table.read_text()
    table.write_text("no,columns\n1,2\n")
    service.send_signal(signal.SIGHUP)
    assert "index: not renewed: " in (line := next_line(service))
    assert "list.csv" in line
    assert ids(port) == {"000", "001", "002"}
    table.write_text(good)
    add_row(table, pictures, 3)
    service.send_signal(signal.SIGHUP)
    assert "renewed: 4 rows" in next_line(service)


def test_a_catalogue_that_is_cut_off_does_not_replace_a_whole_one(
    launch: Start, tmp_path: Path, pictures: Path
) -> None:
    """An incomplete copy is reported, and the old rows are still found."""
    rows = "".join(f"{number},pictures/00{number % 3}.png,{number * 7919 % 10007:x}\n" for number in range(300))
    packed, path = gzip.compress(f"id,image,title\n{rows}".encode()), tmp_path / "list.csv.gz"
    path.write_bytes(packed)
    service = launch(path)
    port = port_of(service)
    path.write_bytes(packed[:-200])
    service.send_signal(signal.SIGHUP)
    assert "can't be read on after line" in next_line(service, "not renewed")
    assert health(port)["pictures"] == 300


def test_a_service_that_stops_ends_its_build(launch: Start, table: Path, pictures: Path, tmp_path: Path) -> None:
    """SIGTERM during a build ends both, and the exit is clean."""
    service = launch(table)
    port_of(service)
    with build_lock_held(tmp_path / "index"):
        add_row(table, pictures, 3)
        service.send_signal(signal.SIGHUP)
        next_line(service, "index: rebuilding (SIGHUP)")
        service.send_signal(signal.SIGTERM)
        _, log = service.communicate(timeout=HANG_SECONDS)  # ends when no process has stderr open
    assert service.returncode == 0
    assert b"Traceback" not in log


def test_a_build_that_can_not_start_changes_nothing(launch: Start, table: Path, pictures: Path) -> None:
    """A failure to start a process is reported; the old rows are found, and later the new ones."""
    service = launch(table)
    port = port_of(service)
    add_row(table, pictures, 3)
    soft, hard = resource.prlimit(service.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (len([*Path(f"/proc/{service.pid}/fd").iterdir()]), hard))
    service.send_signal(signal.SIGHUP)
    assert "not renewed: the build can't be started (Too many open files)" in next_line(service)
    resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (soft, hard))
    assert health(port)["pictures"] == 3
    service.send_signal(signal.SIGHUP)
    assert "renewed: 4 rows" in next_line(service)


async def test_words_that_can_not_be_indexed_keep_the_old_index(
    tmp_path: Path, pictures: Path, decoders: Decoders
) -> None:
    """An engine whose rows can't be read is not used, and raises the error that a renewal survives."""

    class Broken(CatalogueEngine):
        def items(self, numbers: Sequence[int] | None = None) -> Iterator[Item]:
            raise sqlite3.OperationalError("disk I/O error")

    old = open_engine(CatalogueConfig(path=pictures), tmp_path / "index", decoders)
    assert isinstance(old, CatalogueEngine)
    current = build_app(old, AppConfig())[CURRENT]
    with pytest.raises(ServiceError, match="disk I/O error"):
        await current.replace_engine(Broken(old.index, decoders))
    assert current.engine is old


def test_a_sighup_during_the_first_build_is_kept(launch: Start, table: Path, pictures: Path, tmp_path: Path) -> None:
    """A SIGHUP while the first build waits for another builder does not end the service, and renews the index later."""
    (tmp_path / "index").mkdir()
    with build_lock_held(tmp_path / "index"):
        service = launch(table)
        next_line(service, "another process builds this index")
        service.send_signal(signal.SIGHUP)
    assert health(port_of(service))["pictures"] == 3
    assert "renewed: 3 rows" in next_line(service)


def test_a_service_that_waits_for_a_builder_can_be_stopped(launch: Start, table: Path, tmp_path: Path) -> None:
    """It reports what it waits for, and SIGTERM ends it while the other one still builds."""
    (tmp_path / "index").mkdir()
    with build_lock_held(tmp_path / "index"):
        service = launch(table)
        next_line(service, "another process builds this index")
        service.send_signal(signal.SIGTERM)
        assert service.wait(timeout=HANG_SECONDS) == 0


def test_a_build_dies_with_its_service(launch: Start, table: Path, pictures: Path, tmp_path: Path) -> None:
    """After kill -9 of the service, its build ends too."""
    service = launch(table)
    port_of(service)
    with build_lock_held(tmp_path / "index"):
        add_row(table, pictures, 3)
        service.send_signal(signal.SIGHUP)
        next_line(service, "index: rebuilding (SIGHUP)")
        build = build_of(service.pid)
        service.kill()
        service.wait()
        pidfd = os.pidfd_open(build)
        assert select.select([pidfd], [], [], HANG_SECONDS)[0], "the build outlives its service"
        os.close(pidfd)


def test_a_working_folder_with_a_package_of_our_name(launch: Start, table: Path, pictures: Path) -> None:
    """Neither the service nor its builds import from the working folder."""
    decoy = table.parent / "pipeline"
    decoy.mkdir()
    (decoy / "__init__.py").write_text("raise SystemExit('the wrong package')\n")
    service = launch(table, cwd=table.parent)
    port = port_of(service)
    add_row(table, pictures, 3)
    service.send_signal(signal.SIGHUP)
    assert "renewed: 4 rows" in next_line(service)
    assert health(port)["pictures"] == 4


def test_a_terminal_that_goes_away_ends_the_service(launch: Start, table: Path) -> None:
    """The SIGHUP of a closed terminal does not rebuild the index."""
    master, terminal = pty.openpty()
    service = launch(table, stdin=terminal, start_new_session=True)
    os.close(terminal)
    port_of(service)
    os.close(master)
    service.send_signal(signal.SIGHUP)
    assert service.wait(timeout=HANG_SECONDS) == 0


async def test_a_call_keeps_the_engine_it_started_with(tmp_path: Path, pictures: Path, decoders: Decoders) -> None:
    """A call that is in progress when the engine is replaced uses the old one; the next call uses the new one."""
    old = open_engine(CatalogueConfig(path=pictures), tmp_path / "index", decoders)
    current = build_app(old, AppConfig())[CURRENT]
    first, started, replaced = current.endpoints, anyio.Event(), anyio.Event()
    used: list[Endpoints] = []

    async def method(endpoints: Endpoints, _: Call) -> Json:
        started.set()
        await replaced.wait()
        used.append(endpoints)
        return {}

    async def send() -> None:
        await current.endpoint(method)(call)

    call: Any = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        await started.wait()
        catalogue = CatalogueConfig(path=fill(pictures, 1, first=9))
        await current.replace_engine(open_engine(catalogue, tmp_path / "index", decoders))
        replaced.set()
    await send()
    assert used == [first, current.endpoints]
    assert (old.count, current.engine.count) == (3, 4)


def test_the_stamp_of_a_catalogue_changes_with_it(tmp_path: Path, table: Path, pictures: Path) -> None:
    """A table's stamp changes with its text, a folder's with its files at any depth; a missing one has none."""
    for path in (table, pictures):
        before = catalogue_stamp(CatalogueConfig(path=path))
        (pictures / "deep").mkdir(exist_ok=True)
        draw(1).save(pictures / "deep" / f"{path.name}.png")
        table.write_text(table.read_text() + "9,pictures/000.png\n")
        assert before
        assert catalogue_stamp(CatalogueConfig(path=path)) != before
    assert catalogue_stamp(CatalogueConfig(path=tmp_path / "nowhere.csv")) == ()
    assert RenewalConfig(catalogue=CatalogueConfig(path=table), index_dir=tmp_path).interval == 0
