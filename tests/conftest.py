"""What the tests of several stages share: pictures and recordings beside the checkout, free ports, clocks, settings."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import settings

from tests.clocks import LeapingLoop, VirtualLoop

# No deadline, as machines vary in speed, and the same examples in every run: what fails was broken by the change.
# For new examples run pytest with --hypothesis-profile=explore.
settings.register_profile("pipeline", settings.get_profile("ci"))
settings.register_profile("explore", settings.get_profile("ci"), derandomize=False)
settings.load_profile("pipeline")

PROJECT = Path(__file__).parents[1]
SHARED = PROJECT.parent / "shared"


def _shared(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"../shared/{name} is not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def project() -> Path:
    """Return the folder of the checkout."""
    return PROJECT


@pytest.fixture(scope="session")
def shared_photos() -> Path:
    """Return the folder of good and hostile pictures; skips where it isn't there."""
    return _shared("photos")


@pytest.fixture(scope="session")
def shared_recordings() -> Path:
    """Return the folder of recorded answers of the real service; skips where it isn't there."""
    return _shared("recordings")


@pytest.fixture
def free_port() -> int:
    """Return a loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture(autouse=True)
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the counts and paces of the tests out of the user's own state folder."""
    folder = tmp_path / ".state"
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Give modules that say VIRTUAL_CLOCK = True the clock that jumps, all others the real one that can leap."""
    module = getattr(item, "module", None)
    return {"virtual": VirtualLoop} if getattr(module, "VIRTUAL_CLOCK", False) else {"real": LeapingLoop}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the tests of crashes and of copies run long."""
    parser.addoption("--long", action="store_true", help="run the tests of crashes and of copies in their long form")


@pytest.fixture
def long(request: pytest.FixtureRequest) -> bool:
    """Tell whether the long form was asked for."""
    return bool(request.config.getoption("--long"))
