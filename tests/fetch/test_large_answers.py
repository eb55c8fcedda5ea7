"""A large answer is read beside the event loop, and nothing takes it away: it was paid for."""

from __future__ import annotations

from threading import get_ident
from typing import TYPE_CHECKING

import anyio
import pytest

from pipeline.fetch.fetcher import LARGE_BODY
from pipeline.records import Answer, Outcome, Request

if TYPE_CHECKING:
    from tests.fetch.conftest import Fetching, Small

ENDPOINT = "http://127.0.0.1:9/v1"
POST = Request(method="POST", target="/ask", form="bytes", body=b"picture")


@pytest.mark.parametrize(("size", "is_beside"), [(LARGE_BODY - 1, False), (LARGE_BODY, True)])
async def test_a_large_answer_is_read_in_a_thread(
    size: int, is_beside: bool, fetching: Fetching, small: type[Small], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small ones are read at once, which is faster; a cancellation that comes meanwhile waits for the outcome."""
    threads: list[int] = []
    outcomes: list[Outcome] = []
    read = small.read

    def cancelling_read(self: Small, request: Request, answer: Answer) -> Outcome:
        threads.append(get_ident())
        if is_beside:
            anyio.from_thread.run_sync(group.cancel_scope.cancel)
        return read(self, request, answer)

    async def fetch() -> None:
        outcomes.append(await fetcher._read(POST, Answer(status=200, headers={}, body=body, asked_at=0.0)))

    monkeypatch.setattr(small, "read", cancelling_read)
    body = b"{" + b" " * (size - 1)
    async with fetching(ENDPOINT) as fetcher, anyio.create_task_group() as group:
        group.start_soon(fetch)
    assert (threads[0] != get_ident()) is is_beside
    assert len(outcomes) == 1
