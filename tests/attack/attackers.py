"""What attackers do to the service: python -m tests.attack.attackers PORT, until it is ended.

Each kind of attack has an address of its own, so that the limits per caller hold none of them up but itself.
"""

from __future__ import annotations

import itertools
import os
import random
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import cache, partial

import anyio
from anyio.abc import SocketStream

from tests.poison import COMPUTE, CRASH, HANG, TAKE_MEMORY, acting, huge_header, many_scans
from tests.service.engine.drawing import draw, encode
from tests.service.serving import form

Attack = Callable[[SocketStream, int], Awaitable[None]]

_HALF_HEADERS = b"GET /v7.0/images/search?q=mug HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
_FORM_HEAD = (
    b"POST /v7.0/images/visualsearch HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: multipart/form-data; boundary=frontier\r\nContent-Length: %d\r\n\r\n"
)
_SEARCH = b"GET /v7.0/images/search?q=mug&count=150 HTTP/1.1\r\nHost: localhost\r\n\r\n"
_TAKEN_BYTES = 65_536
_HELD_SECONDS = 20.0


def upload(body: bytes) -> bytes:
    """Return a whole request with a form."""
    return _FORM_HEAD % len(body) + body


@cache
def _bombs() -> tuple[bytes, ...]:
    """Return pictures that do harm, each in a way of its own."""
    return (
        many_scans(1),
        _allowed_scans(),
        huge_header(1),
        encode(draw(1, (1500, 1500)), "PNG")[:-500],
        encode(draw(1, (5000, 5000)), "PNG"),
        acting(1, CRASH),
        acting(1, TAKE_MEMORY),
        acting(1, COMPUTE),
        acting(1, HANG),
        os.urandom(900_000),
    )


@cache
def _allowed_scans() -> bytes:
    """Return a JPEG that takes as long as any that passes the guard of scans: half a second."""
    return many_scans(1, scans=180)


def _variant(picture: bytes, number: int) -> bytes:
    """Return a picture that the service has not seen yet, with bytes behind it that no decoder reads."""
    return picture + number.to_bytes(8, "big")


async def drip_headers(stream: SocketStream, _: int) -> None:
    """Send a byte of a header each second."""
    await stream.send(_HALF_HEADERS)
    while True:
        await stream.send(b"x")
        await anyio.sleep(1)


async def send_half(stream: SocketStream, _: int) -> None:
    """Send a half of a body and wait."""
    await stream.send(upload(form(None, os.urandom(200_000)))[:100_000])
    await stream.receive()


async def send_bomb(stream: SocketStream, number: int) -> None:
    """Upload a picture that does harm."""
    await stream.send(upload(form(None, _variant(_bombs()[number % len(_bombs())], number))))
    await stream.receive()


async def hang_up(stream: SocketStream, number: int) -> None:
    """Upload a picture and leave."""
    await stream.send(upload(form(None, _variant(_allowed_scans(), number))))
    await anyio.sleep(random.uniform(0, 0.2))


async def flood(stream: SocketStream, _: int) -> None:
    """Search as often as possible."""
    while True:
        await stream.send(_SEARCH * 10)
        for _ in range(10):
            await stream.receive(_TAKEN_BYTES)


async def take_nothing(stream: SocketStream, _: int) -> None:
    """Search, and take no response."""
    with anyio.move_on_after(_HELD_SECONDS):
        while True:
            await stream.send(_SEARCH * 100)


async def send_parts(stream: SocketStream, _: int) -> None:
    """Send a form of half a million parts, or one whose lines all look like its boundary."""
    body = random.choice([b"--frontier\r\n\r\n\r\n" * 200_000, b"\n--frontierx" * 300_000, b"\n" * 4_000_000])
    await stream.send(upload(b"--frontier\r\nA: b\r\n\r\n" + body))
    await stream.receive()


async def send_garbage(stream: SocketStream, _: int) -> None:
    """Send what is no HTTP."""
    await stream.send(os.urandom(2000))
    await stream.receive()


# The attack, its connections at a time, and the pause between two of one client.
ATTACKS: tuple[tuple[Attack, int, float], ...] = (
    (drip_headers, 200, 0.1),
    (send_half, 300, 0.1),
    (send_bomb, 20, 0.1),
    (hang_up, 20, 0.05),
    (flood, 8, 0.1),
    (take_nothing, 20, 0.5),
    (send_parts, 4, 0.2),
    (send_garbage, 20, 0.1),
)


async def attack_all(port: int) -> None:
    """Attack the service in every way at once, without end."""
    numbers = itertools.count()
    async with anyio.create_task_group() as tasks:
        for host, (attack, clients, pause) in enumerate(ATTACKS, start=2):
            for _ in range(clients):
                tasks.start_soon(partial(_repeat, attack, pause, port, f"127.0.0.{host}", numbers))


async def _repeat(attack: Attack, pause: float, port: int, address: str, numbers: Iterator[int]) -> None:
    while True:
        with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
            async with await anyio.connect_tcp("127.0.0.1", port, local_host=address) as stream:
                await attack(stream, next(numbers))
        await anyio.sleep(pause)


if __name__ == "__main__":
    os.nice(5)  # other machines' processors would do this work
    anyio.run(attack_all, int(sys.argv[1]))
