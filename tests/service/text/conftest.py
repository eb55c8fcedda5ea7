"""One worker process for all tests that really read text: a start takes seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from pipeline.service.engine.pictures import WHOLE
from pipeline.service.findings import Crop
from pipeline.service.text.recognised_text import RecognisedText
from pipeline.service.text.workers import OcrWorkers, ReadFailure

Read = Callable[..., RecognisedText | ReadFailure]


@pytest.fixture(scope="package")
def portal() -> Iterator[BlockingPortal]:
    """Run an event loop in a thread of its own; when it ends, the processes end too."""
    with start_blocking_portal() as running:
        yield running


@pytest.fixture(scope="package")
def workers(portal: BlockingPortal) -> OcrWorkers:
    """Return a pool of one worker process."""
    return portal.call(OcrWorkers, 1)


@pytest.fixture(scope="package")
def read(portal: BlockingPortal, workers: OcrWorkers) -> Read:
    """Return a function that reads a picture, or a part of it, in the worker process."""

    def read_one(picture: bytes, crop: Crop = WHOLE) -> RecognisedText | ReadFailure:
        return portal.call(workers.read, picture, crop)

    return read_one
