"""A clock that jumps, for modules that say VIRTUAL_CLOCK = True, and a small provider of our own."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import aioresponses.core
import pytest
from aiohttp import ClientResponse


class _JumpingSelector(selectors.SelectSelector):
    """Never waits: moves its clock to the next timer instead."""

    now = 1_000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everything waits for something that will never come")
        self.now += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only in sleeps, and then at once."""

    def __init__(self) -> None:
        self.selector = _JumpingSelector()
        super().__init__(self.selector)

    def time(self) -> float:
        """Return the selector's clock."""
        return self.selector.now


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    module = getattr(item, "module", None)
    return {"virtual": VirtualLoop} if getattr(module, "VIRTUAL_CLOCK", False) else {"real": asyncio.new_event_loop}


class _Response(ClientResponse):
    """What aioresponses 0.7.9 must build since aiohttp 3.14 asks for the writer's size."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", SimpleNamespace(output_size=0))
        super().__init__(*args, **kwargs)


@pytest.fixture(autouse=True)
def _patched_aioresponses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioresponses.core, "ClientResponse", _Response)
