"""A strict service for the benchmark, in a process of its own: judges each request when its head arrives.

Usage: fetch_server.py SETTINGS-AS-JSON. Prints its port; on SIGTERM it prints what it saw, as JSON, and ends.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from math import ceil
from typing import cast


def _image(number: int) -> dict[str, object]:
    """Return a look-alike as the service describes one, about 1.1 KB."""
    return {
        "webSearchUrl": f"https://www.example.com/images/search?view=detailv2&FORM=OIIRPO&id={number:040X}&simid={number:018d}",
        "name": f"A picture of something that looks alike, number {number}",
        "thumbnailUrl": f"https://tse{number % 4}.example.net/th?id=OIP.{number:024x}&pid=Api",
        "datePublished": "2026-03-14T09:26:00.0000000Z",
        "isFamilyFriendly": True,
        "contentUrl": f"https://shop{number}.example.org/media/catalog/product/cache/{number:032x}/picture.jpg",
        "hostPageUrl": f"https://shop{number}.example.org/products/something-that-looks-alike-{number}.html",
        "contentSize": f"{number + 20480} B",
        "encodingFormat": "jpeg",
        "hostPageDisplayUrl": f"https://shop{number}.example.org/products/something-that-looks-alike",
        "width": 800,
        "height": 600,
        "thumbnail": {"width": 474, "height": 355},
        "imageInsightsToken": f"ccid_{number:022x}*mid_{number:040X}*simid_{number:018d}*thid_OIP.{number:024x}",
        "insightsMetadata": {"pagesIncludingCount": 3, "availableSizesCount": 2},
        "imageId": f"{number:040X}",
        "accentColor": "A37228",
    }


# 36 KB, as the answers of Visual Search are: look-alikes above all.
ANSWER = json.dumps(
    {
        "_type": "ImageKnowledge",
        "tags": [
            {
                "displayName": "",
                "actions": [
                    {"actionType": "VisualSearch", "data": {"value": [_image(n) for n in range(30)]}},
                    {"actionType": "PagesIncluding", "data": {"value": [_image(n) for n in range(30, 33)]}},
                ],
            }
        ],
        "image": {"imageInsightsToken": "ccid_0*mid_1*simid_2"},
    },
    separators=(",", ":"),
)


@dataclass(kw_only=True)
class Settings:
    """How the service behaves; times in seconds, `qps` 0 = no limit.

    `rule`: "window" allows `qps` in any second, "bucket" refills `qps` a second up to `qps`. The outage begins with
    the first request `outage_after` the first of all. `penalty`: each request into a closed window adds a second.
    """

    qps: int = 0
    rule: str = "window"
    latency: float = 0.02
    jitter: float = 0.0
    outage_after: float = 0.0
    outage: float = 0.0
    penalty: bool = False


@dataclass
class Judge:
    """Decides over each arrival and keeps the books: accepted and refused stamps, in-flight when an outage began."""

    settings: Settings
    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    recent: deque[float] = field(default_factory=deque)
    tokens: float = 0.0
    filled_at: float = 0.0
    outage_from: float = 0.0
    closed_until: float = 0.0
    unanswered: int = 0
    in_flight_then: int = 0

    def judge(self, now: float) -> int:
        """Return 0 where the request is let through, else for how many seconds to stay away."""
        wait = self._closed(now) or self._too_fast(now)
        (self.refused if wait else self.accepted).append(now)
        if not wait:
            self.recent.append(now)
        return wait

    def _closed(self, now: float) -> int:
        due = self.settings.outage and self.accepted and now - self.accepted[0] >= self.settings.outage_after
        if due and not self.outage_from:
            self.outage_from, self.closed_until = now, now + self.settings.outage
            self.in_flight_then = self.unanswered
        elif now < self.closed_until and self.settings.penalty:
            self.closed_until += 1.0
        return max(0, ceil(self.closed_until - now - 1e-6))

    def _too_fast(self, now: float) -> int:
        if not self.settings.qps:
            return 0
        if self.settings.rule == "bucket":
            self.tokens = min(self.settings.qps, self.tokens + (now - self.filled_at) * self.settings.qps)
            self.filled_at = now
            if self.tokens < 1:
                return 1
            self.tokens -= 1
            return 0
        while self.recent and self.recent[0] <= now - 1.0:
            self.recent.popleft()
        return int(len(self.recent) >= self.settings.qps)


class Connection(asyncio.Protocol):
    """One client connection: counts body bytes, keeps none."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.head = b""
        self.left = 0
        self.wait = 0
        self.judged = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Judge at the end of the head, answer at the end of the body."""
        if self.left:
            self._body(len(data))
            return
        self.head += data
        head, end, body = self.head.partition(b"\r\n\r\n")
        if end:
            self.head = b""
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            self.left = int(length.split(b":")[1])
            self.judged = False
            delay = random.uniform(0, self.judge.settings.jitter)
            asyncio.get_running_loop().call_later(delay, self._judge)
            self._body(len(body))

    def _judge(self) -> None:
        self.wait = self.judge.judge(time.monotonic())
        self.judge.unanswered += 1
        self.judged = True
        self._body(0)

    def _body(self, size: int) -> None:
        self.left -= size
        if not self.left and self.judged:
            asyncio.get_running_loop().call_later(self.judge.settings.latency, self._answer)

    def _answer(self) -> None:
        self.judge.unanswered -= 1
        status = f"429 Slow down\r\nRetry-After: {self.wait}" if self.wait else "200 OK"
        body = "" if self.wait else ANSWER
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.transport.write((head + body).encode())


async def serve(settings: Settings) -> None:
    """Serve until told to end, then print the books."""
    judge = Judge(settings, tokens=settings.qps)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    server = await loop.create_server(lambda: Connection(judge), "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await ended.wait()
    books = {
        "accepted": judge.accepted,
        "refused": judge.refused,
        "outage": [judge.outage_from, judge.closed_until],
        "in_flight": judge.in_flight_then,
    }
    sys.stdout.write(json.dumps(books))


if __name__ == "__main__":
    asyncio.run(serve(Settings(**json.loads(sys.argv[1]))))
