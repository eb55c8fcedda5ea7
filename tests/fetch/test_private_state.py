"""What is kept beside the jobs, for all of them, is private: counts of calls, the rate limit, client ids."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import anyio
import pytest

from pipeline.errors import PipelineError
from pipeline.fetch.client_state import ClientState
from pipeline.fetch.pacing.file_pacer import file_pacer
from pipeline.fetch.policy import RateLimit
from pipeline.fetch.quota import Quota, QuotaLimits
from tests.permissions import open_to_others, umask

CLIENT = "s"
CLIENT_FILE = "clients/043a718774c572bd8a25adbeb1bfcd5c"


def count_a_call(folder: Path) -> None:
    with closing(Quota(folder / "calls.db", "account", QuotaLimits(per_day=9))) as quota:
        quota.charge()
        assert not open_to_others(folder)


def keep_the_pace(folder: Path) -> None:
    async def run() -> None:
        async with file_pacer(folder / "pace" / "key", RateLimit(qps=1000)):
            pass

    anyio.run(run)


def keep_a_client_id(folder: Path) -> None:
    ClientState(CLIENT, "X-Client", folder / "clients").remember({"x-client": "A1"})


WRITERS = {"calls.db": count_a_call, "pace/key": keep_the_pace, CLIENT_FILE: keep_a_client_id}


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
@pytest.mark.parametrize(("name", "write"), WRITERS.items(), ids=WRITERS)
def test_nobody_else_reads_or_writes_it(tmp_path: Path, name: str, write: Callable[[Path], None], mask: int) -> None:
    """Whatever the umask is, and the folder of all of them too."""
    with umask(mask):
        write(tmp_path / "state")
    assert (tmp_path / "state" / name).is_file()
    assert not open_to_others(tmp_path / "state")


@pytest.mark.parametrize(("name", "write"), WRITERS.items(), ids=WRITERS)
def test_a_planted_link_is_not_followed(tmp_path: Path, name: str, write: Callable[[Path], None]) -> None:
    """What it leads to is neither written nor given other permissions."""
    (target := tmp_path / "target").write_bytes(b"precious")
    target.chmod(0o644)
    (link := tmp_path / "state" / name).parent.mkdir(parents=True)
    link.symlink_to(target)
    with suppress(PipelineError):
        write(tmp_path / "state")
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"precious", 0o644)


def test_a_client_id_is_neither_read_nor_written_through_links(tmp_path: Path) -> None:
    """It would go to the service, and what is written beside it first could be a link too."""
    (target := tmp_path / "target").write_bytes(b"secret")
    (folder := tmp_path / "clients").mkdir()
    (link := tmp_path / CLIENT_FILE).symlink_to(target)
    assert ClientState(CLIENT, "X-Client", folder).headers == {}
    (folder / f".{link.name}.{os.getpid()}").symlink_to(target)
    kept = ClientState(CLIENT, "X-Client", folder)
    kept.remember({"x-client": "A1"})
    assert (kept.headers, target.read_bytes()) == ({"X-Client": "A1"}, b"secret")
