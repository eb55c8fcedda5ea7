"""What the tests of several stages share: the pictures and recordings beside the checkout, ports, faked answers."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import ClientResponse
from aioresponses import aioresponses

PROJECT = Path(__file__).parents[1]
SHARED = PROJECT.parent / "shared"


def _shared(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"../shared/{name} is not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def project() -> Path:
    """The folder of the checkout."""
    return PROJECT


@pytest.fixture(scope="session")
def shared_photos() -> Path:
    """The folder of good and hostile pictures; skips where it isn't there."""
    return _shared("photos")


@pytest.fixture(scope="session")
def shared_recordings() -> Path:
    """The folder of recorded answers of the real service; skips where it isn't there."""
    return _shared("recordings")


@pytest.fixture
def free_port() -> int:
    """A loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class _Response(ClientResponse):
    """aioresponses 0.7.9 leaves out an argument that aiohttp asks for since 3.14."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", SimpleNamespace(output_size=0))
        super().__init__(*args, **kwargs)


@pytest.fixture
def faked_answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[aioresponses]:
    """Answers in place of the network, to map statuses to outcomes: connectors, timeouts and bodies are bypassed."""
    monkeypatch.setattr("aioresponses.core.ClientResponse", _Response)
    with aioresponses() as answers:
        yield answers
