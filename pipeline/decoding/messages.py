"""How a decoder process and its parent exchange bytes: each message has its length in front."""

from __future__ import annotations

import socket

_LENGTH_BYTES = 8


def send(connection: socket.socket, *messages: bytes) -> None:
    """Send messages; raises OSError if the other side has gone."""
    for message in messages:
        connection.sendall(len(message).to_bytes(_LENGTH_BYTES, "big"))
        connection.sendall(message)


def receive(connection: socket.socket, max_bytes: int | None = None) -> bytes | None:
    """Return the next message, or None if the other side has gone; raises ValueError if it is too long."""
    head = _receive_exactly(connection, _LENGTH_BYTES)
    if head is None:
        return None
    length = int.from_bytes(head, "big")
    if max_bytes is not None and length > max_bytes:
        raise ValueError(f"a message of {length} bytes, of {max_bytes} at most")
    return _receive_exactly(connection, length)


def _receive_exactly(connection: socket.socket, length: int) -> bytes | None:
    """Return `length` bytes, in the usual case without copying them."""
    received = b""
    while len(received) < length:
        try:
            more = connection.recv(length - len(received), socket.MSG_WAITALL)
        except ConnectionError:
            return None
        if not more:
            return None
        received = received + more if received else more
    return received
