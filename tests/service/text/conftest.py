"""One set of worker processes for all tests that really read: starting one takes seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from pipeline.service.engine.pictures import WHOLE
from pipeline.service.findings import Crop
from pipeline.service.text.values import Text
from pipeline.service.text.workers import Unread, Workers

Read = Callable[..., Text | Unread]


@pytest.fixture(scope="package")
def portal() -> Iterator[BlockingPortal]:
    """Run an event loop in a thread of its own; its end ends the processes."""
    with start_blocking_portal() as running:
        yield running


@pytest.fixture(scope="package")
def workers(portal: BlockingPortal) -> Workers:
    """Return one worker process's pool."""
    return portal.call(Workers, 1)


@pytest.fixture(scope="package")
def read(portal: BlockingPortal, workers: Workers) -> Read:
    """Return the function that reads a picture, or a part of it, in a process."""

    def read_one(picture: bytes, crop: Crop = WHOLE) -> Text | Unread:
        return portal.call(workers.read, picture, crop)

    return read_one
