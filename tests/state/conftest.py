"""An open state for the tests of its parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.state.job_state import JobState, open_state


@pytest.fixture
def state(tmp_path: Path) -> Iterator[JobState]:
    with open_state(tmp_path / "state.db") as opened:
        yield opened
