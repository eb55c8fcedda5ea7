"""What the tests of preparation share: a site to download from, and hosts that are given up soon."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from pipeline.downloads import hosts
from tests.downloads.sites import Site, running_site


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """Run a site for the test."""
    async with running_site() as running:
        yield running


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a host up after tenths of a second where a run waits for half a minute."""
    monkeypatch.setattr(hosts, "SILENCE_SECONDS", 0.2)
