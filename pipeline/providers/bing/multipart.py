"""multipart/form-data as bytes that are the same each time the same is asked (reference 000, boundary strings)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256

_BOUNDARY = b"image-insights-boundary"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a form; `media_type` makes it a file, whose name is fixed and ASCII."""

    name: str
    data: bytes = field(repr=False)
    media_type: str = ""

    def head(self) -> bytes:
        """Return the part's headers with the empty line that ends them."""
        head = f'Content-Disposition: form-data; name="{self.name}"'
        if self.media_type:
            head += f'; filename="{self.name}"\r\nContent-Type: {self.media_type}'
        return head.encode() + b"\r\n\r\n"


def encode(parts: Iterable[Part]) -> tuple[str, bytes]:
    """Return the Content-Type and the body.

    The boundary is fixed, so that the body depends on the content alone; where the content holds it, it is replaced
    by a hash of the content, and so on until it occurs nowhere.
    """
    parts = tuple(parts)
    boundary = _BOUNDARY
    while any(boundary in part.data for part in parts):
        boundary = sha256(boundary + b"".join(part.data for part in parts)).hexdigest().encode()
    pieces: list[bytes] = []
    for part in parts:
        pieces += (b"--", boundary, b"\r\n", part.head(), part.data, b"\r\n")
    return f"multipart/form-data; boundary={boundary.decode()}", b"".join((*pieces, b"--", boundary, b"--\r\n"))


def decode(content_type: str, body: bytes) -> dict[str, Part]:
    """Return the parts of a body that `encode` has made, by name."""
    boundary = content_type.partition("boundary=")[2].encode()
    found = {}
    for piece in body.split(b"--" + boundary)[1:-1]:
        head, _, data = piece.partition(b"\r\n\r\n")
        name = head.partition(b'name="')[2].partition(b'"')[0].decode()
        media_type = head.partition(b"Content-Type: ")[2].decode()
        found[name] = Part(name=name, data=data.removesuffix(b"\r\n"), media_type=media_type)
    return found
