"""`serve` as a service: its config file, keys and quotas over restarts and kills, limits, an orderly stop."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from itertools import groupby
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest

from pipeline.config import load_service_config, read_keys
from pipeline.config.service import CatalogueColumns
from pipeline.errors import ConfigError
from pipeline.runner.job import run
from pipeline.service.engine.catalogue import FIELDS
from pipeline.service.http.body import MAX_BODY_BYTES
from pipeline.service.server import QUOTA_FILE
from tests.running import draw, lines_of, load, write_config, write_manifest
from tests.waiting import HANG_SECONDS, wait_until

KEYS = {"SHOP_KEY": "shop-secret-0123456789", "OTHER_KEY": "other-secret-0123456789", "OLD_KEY": "old-secret-012345"}
SEARCH = "/v7.0/images/search?q=round+picture&secret=told-nobody"


@dataclass(frozen=True, slots=True)
class Running:
    """A service as a process of its own."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def ask(self, target: str = SEARCH, key: str = "", method: str = "GET", **headers: str) -> tuple[int, Any]:
        """Send a request on a connection of its own; return status, and the answer with its headers below `headers`."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        names |= {"Ocp-Apim-Subscription-Key": key} if key else {}
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=HANG_SECONDS)) as connection:
            connection.request(method, target, headers=names)
            answer = connection.getresponse()
            return answer.status, {**orjson.loads(answer.read()), "headers": dict(answer.getheaders())}

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return how the process ended."""
        self.process.send_signal(number)
        return self.process.wait(timeout=HANG_SECONDS)


Start = Callable[..., Running]


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """Write a catalogue of three pictures."""
    for number in range(3):
        draw(tmp_path / "pictures" / f"{number}.png", number)
    rows = [
        {
            "id": f"p{n}",
            "image": f"pictures/{n}.png",
            "name": f"Round picture {n}",
            "page_url": f"https://a.example/{n}",
        }
        for n in range(3)
    ]
    return write_manifest(tmp_path / "catalogue.csv", rows)


@pytest.fixture
def start(tmp_path: Path, catalogue: Path) -> Iterator[Start]:
    """Return a function that starts `serve` with a config; what still runs at the end is killed."""
    running: list[Running] = []

    def begin(tables: str = "", *options: str) -> Running:
        text = f'[catalogue]\npath = "{catalogue}"\ncolumns = {{ title = "name" }}\n{tables}'
        (tmp_path / "serve.toml").write_text(text)
        log = tmp_path / f"log-{len(running)}.txt"
        command = [sys.executable, "-m", "pipeline", "serve", str(tmp_path / "serve.toml"), "--port", "0"]
        command += ["--index", str(tmp_path / "out" / "index"), "--no-text", *options]
        with log.open("wb") as errors:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env={**os.environ, **KEYS})
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert ready, log.read_text()
        running.append(Running(process, orjson.loads(ready)["port"], log))
        return running[-1]

    yield begin
    for service in running:
        service.process.kill()
        service.process.communicate()


def used(folder: Path, key: str) -> int:
    """Return what the book of quotas has counted for a key, or for all callers where none are known."""
    with closing(sqlite3.connect(folder / "out" / "index" / QUOTA_FILE)) as db:
        account = hashlib.sha256(key.encode()).digest() if key else b""
        return sum(count for (count,) in db.execute("SELECT queries FROM used WHERE account = ?", (account,)))


LOCAL = """
[manifest]
path = "{manifest}"
[provider]
name = "local"
text = false
[limits]
qps = 0
[output]
dir = "{out}"
"""
SHOP, OTHER, OLD = KEYS.values()
TABLES = """
[service]
access_log = true
[allowance]
per_month = 2
[[keys]]
key_env = "SHOP_KEY"
[[keys]]
key_env = "OTHER_KEY"
qps = 1
per_month = 0
[[keys]]
key_env = "OLD_KEY"
state = "expired"
"""


def test_keys_and_their_months_outlive_a_kill(tmp_path: Path, start: Start) -> None:
    """Each key has its own limits; what is used of a month stays used after kill -9, and no key is written anywhere."""
    service = start(TABLES)
    assert [service.ask(key=key)[0] for key in ("", "unknown", OLD, SHOP, SHOP)] == [401, 401, 403, 200, 200]
    assert service.ask("/healthz")[0] == 200
    assert service.end(signal.SIGKILL) == -signal.SIGKILL
    again = start(TABLES)
    status, told = again.ask(key=SHOP)
    assert (status, told["errors"][0]["message"]) == (403, "Out of call volume quota.")
    assert int(told["headers"]["Retry-After"]) > 0
    status, told = wait_until(lambda: too_fast(again), "a second call came within a second")
    assert (status, told["headers"]["Retry-After"]) == (429, "1")
    assert (used(tmp_path, SHOP), used(tmp_path, OTHER)) == (2, 0)
    with socket.create_connection(("127.0.0.1", again.port), timeout=HANG_SECONDS) as mistaken:
        mistaken.sendall(
            f"GET {SEARCH} HTTP/1.1\r\nHost: localhost\r\nOcp-Apim-Subscription-Key {SHOP}\r\n\r\n".encode()
        )
        assert b" 400 " in mistaken.recv(4096)
    again.ask("/nowhere%0AFORGED%20LINE?q=told-nobody")
    assert again.end() == 0
    check_access_log(again.log.read_text())
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".png"]
    assert not any(key.encode() in content for key in KEYS.values() for content in written)


def too_fast(service: Running) -> tuple[int, Any] | None:
    """Ask with the key of one query per second; return what came back where it was one too many."""
    status, told = service.ask(key=OTHER)
    return (status, told) if status != 200 else None


def check_access_log(text: str) -> None:
    """See a line for each request, and for what is none; no query, and no line end smuggled in by a path."""
    lines = [line.split(" ", 1)[1] for line in text.splitlines() if " GET " in line]
    assert [line for line, _ in groupby(re.sub(r"\d+ ms ([0-9A-F]{32}|-)$", "*", line) for line in lines)] == [
        "127.0.0.1 GET /v7.0/images/search 403 *",
        "127.0.0.1 GET /v7.0/images/search 200 *",
        "127.0.0.1 GET /v7.0/images/search 429 *",
        "127.0.0.1 GET /*** 404 *",
    ]
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", text.splitlines()[-1])
    assert "127.0.0.1: the request can't be parsed as HTTP" in text
    assert "told-nobody" not in text


def test_a_kill_gives_back_no_more_than_what_was_in_flight(tmp_path: Path, start: Start) -> None:
    """Killed while four clients ask: every answer that arrived is on the book, and at most four others are."""
    service = start('[[keys]]\nkey_env = "SHOP_KEY"\nper_month = 100_000\n')
    answered: list[int] = []

    def client() -> None:
        while True:
            try:
                answered.append(service.ask(key=SHOP)[0])
            except (OSError, HTTPException):
                return
            if len(answered) == 60:
                service.process.kill()

    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(client)
    assert set(answered) == {200}
    assert len(answered) <= used(tmp_path, SHOP) <= len(answered) + 4


def refuses(port: int) -> bool:
    """Return True once nobody new is let in."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=HANG_SECONDS).close()
    except ConnectionError:
        return True
    return False


def test_limits_and_an_orderly_stop(tmp_path: Path, start: Start) -> None:
    """A body is read up to its bound, one request is in work at a time, another is turned away at no cost; SIGTERM lets
    the one in work be answered.
    """
    service = start(
        '[service]\nmost_in_work = 1\nbase_url = "https://insights.example/"\nhttps_only = true\n'
        "[allowance]\nper_month = 4\n"
    )
    assert service.ask()[0] == 410
    status, found = service.ask(X_Forwarded_Proto="https")
    assert (status, found["readLink"][:41]) == (200, "https://insights.example/v7.0/images/sear")
    with socket.create_connection(("127.0.0.1", service.port), timeout=HANG_SECONDS) as endless:
        endless.sendall(
            b"POST /v7.0/images/visualsearch HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Proto: https\r\n"
            b"Content-Length: 99999999999\r\n\r\n" + bytes(MAX_BODY_BYTES + 1)
        )
        assert endless.recv(4096).startswith(b"HTTP/1.1 400")
    with socket.create_connection(("127.0.0.1", service.port), timeout=HANG_SECONDS) as slow:
        slow.sendall(
            b"POST /v7.0/images/details?imgUrl=https://a.test/none HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
            b"X-Forwarded-Proto: https\r\nExpect: 100-continue\r\n\r\n"
        )
        assert slow.recv(4096).startswith(b"HTTP/1.1 100")
        status, told = service.ask(X_Forwarded_Proto="https")
        assert (status, told["headers"]["Retry-After"]) == (429, "1")
        assert service.ask("/healthz")[0] == 200
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: refuses(service.port), "nobody new is let in")
        slow.sendall(b"--")
        assert slow.recv(65536).startswith(b"HTTP/1.1 400")
    assert service.process.wait(timeout=HANG_SECONDS) == 0
    assert used(tmp_path, "") == 3


def test_searches_made_at_the_service_are_the_related_ones(tmp_path: Path, catalogue: Path, start: Start) -> None:
    """Before any search a record says that there is none to tell; afterwards it names it, as the catalogue's own."""
    local = {"name": "local", "endpoint": "", "key_env": "", "text": False}
    config = write_config(tmp_path / "job.toml", catalogue, "", provider=local)
    assert anyio.run(run, load(config)).exit_code == 0
    before = lines_of(tmp_path / "out" / "insights.jsonl")
    service = start()
    assert service.ask()[0] == 200
    assert service.end() == 0
    anyio.run(run, load(config, "output.refresh=0s"))
    after = lines_of(tmp_path / "out" / "insights.jsonl")
    assert [record["related_searches"] for record in before] == [[]] * 3
    for old, new in zip(before, after, strict=True):
        assert "related_searches" in {item["kind"] for item in old["unavailable"]}
        (query,) = new["related_searches"]
        assert (query["text"], query["origin"]) == ("round picture", "catalogue")
        assert "related_searches" not in {item["kind"] for item in new["unavailable"]}


def test_the_example_starts(project: Path, tmp_path: Path) -> None:
    """configs/serve.toml serves the sample catalogue from the folder of the checkout."""
    words = ["serve", "configs/serve.toml", "--port", "0", "--index", str(tmp_path), "--with-parent", "--no-text"]
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *words],
        cwd=project,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    ready = orjson.loads(process.stdout.readline())
    assert (ready["pictures"] > 60, ready["skipped"]) == (True, 1)
    process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 0


# An installation without the extra `service`.
BARE = "import sys; sys.modules['numpy'] = None; from pipeline.entry import main; main()"


@pytest.mark.parametrize("words", [("serve", "--catalogue"), ("run",), ("check",)], ids=lambda words: words[0])
def test_without_its_packages_the_service_is_not_begun(tmp_path: Path, catalogue: Path, words: tuple[str, ...]) -> None:
    """One sentence names the extra, with exit code 2, and no child is started."""
    job = tmp_path / "job.toml"
    job.write_text(LOCAL.format(manifest=catalogue, out=tmp_path / "out"))
    place = catalogue if words[0] == "serve" else job
    line = [sys.executable, "-c", BARE, *words, str(place)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=HANG_SECONDS)
    assert (done.returncode, (done.stdout + done.stderr).count('install the extra "service"')) == (2, 1)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "service.log").exists()


def test_a_run_in_a_folder_with_a_package_of_our_name(tmp_path: Path, catalogue: Path) -> None:
    """The service of a run is this very package, whatever lies in the working folder."""
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "__init__.py").write_text("raise SystemExit('the wrong package')\n")
    (tmp_path / "job.toml").write_text(LOCAL.format(manifest=catalogue, out=tmp_path / "out"))
    line = [str(Path(sys.executable).with_name("image-insights")), "run", "job.toml"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=HANG_SECONDS)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("finished: 3 records written")


def problems(tmp_path: Path, text: str, *sets: str, **forced: object) -> list[str]:
    """Return what is wrong with a config."""
    (tmp_path / "wrong.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_service_config(tmp_path / "wrong.toml", sets, forced=forced)
    return caught.value.problems


def test_every_problem_is_told_at_once_with_its_place(tmp_path: Path) -> None:
    """Unknown keys come with a suggestion; a key in the file is refused without being shown."""
    text = """
    [catalogue]
    pth = "x.csv"
    columns = { titel = "name" }
    [service]
    port = 99999
    base_url = "https://user:geheim@example.com"
    most_in_wrk = 3
    [[keys]]
    key = "geheim"
    [[keys]]
    key_env = "geheim geheim"
    qps = -1
    state = "asleep"
    [[key]]
    key_env = "A"
    """
    told = problems(tmp_path, text, "service.workers=many")
    assert [problem.split(": ")[0] for problem in told] == [
        "catalogue.path",
        "catalogue.columns.titel",
        "catalogue.pth",
        "service.port",
        "service.base_url",
        "service.workers",
        "service.most_in_wrk",
        "keys[0].key_env",
        "keys[0].key",
        "keys[1].key_env",
        "keys[1].qps",
        "keys[1].state",
        "key",
    ]
    assert "geheim" not in "\n".join(told)
    hints = {1: "did you mean 'title'?", 2: "did you mean 'path'?", 6: "did you mean 'most_in_work'?"}
    assert all(hint in told[number] for number, hint in hints.items())
    assert "key_env of [[keys]]" in told[8]
    assert "did you mean 'keys'?" in told[12]


def test_options_are_stronger_than_the_file(tmp_path: Path) -> None:
    """The file, then --set, then the command's own options; a problem of any of them is told with its place."""
    text = '[catalogue]\npath = "file.csv"\n[service]\nport = 1\nworkers = 1\n'
    (tmp_path / "serve.toml").write_text(text)
    sets = ("service.port=2", "service.workers=2")
    config = load_service_config(tmp_path / "serve.toml", sets, forced={"service.port": 3})
    assert (config.catalogue.path, config.service.port, config.service.workers) == ("file.csv", 3, 2)
    assert problems(tmp_path, text, **{"service.port": -1}) == ["service.port: must be at least 0 (it is -1)"]


def test_a_key_has_one_entry_and_a_value(tmp_path: Path) -> None:
    """A variable named twice, one that is not set, and two with the same key are found before anything starts."""
    twice = '[catalogue]\npath = "a.csv"\n' + '[[keys]]\nkey_env = "A_KEY"\n' * 2
    assert problems(tmp_path, twice) == ["keys: names A_KEY more than once; a key has one entry"]
    with pytest.raises(ConfigError) as caught:
        read_keys(["A_KEY", "B_KEY", "C_KEY", "D_KEY"], {"A_KEY": "s3cret", "B_KEY": "s3cret", "D_KEY": "two words"})
    assert [problem.split(": ")[0] for problem in caught.value.problems] == [f"keys[{n}].key_env" for n in (1, 2, 3)]
    assert "s3cret" not in str(caught.value)
    assert "two words" not in str(caught.value)


def test_the_columns_are_those_that_the_catalogue_reads() -> None:
    """The config knows every field of the service, and no other."""
    assert tuple(CatalogueColumns.model_fields) == FIELDS


def test_pictures_behind_urls_are_an_option(start: Start) -> None:
    """Without --fetch-urls the answer names its setting; with it, addresses of this machine stay closed."""
    target = "/v7.0/images/details?imgUrl=http://127.0.0.1:9/a.jpg"
    ((_, closed), (_, loading)) = (start("", *options).ask(target) for options in ((), ("--fetch-urls",)))
    assert "service.fetch_urls is false" in closed["unavailable"][0]["reason"]
    assert "private network" in loading["unavailable"][0]["reason"]
