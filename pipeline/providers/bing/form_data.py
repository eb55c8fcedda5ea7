"""Write multipart/form-data so that equal content has equal bytes (Visual Search guide, boundary strings)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256

_BOUNDARY = b"image-insights-boundary"


@dataclass(frozen=True, slots=True, kw_only=True)
class FormPart:
    """One part of a form; with a `media_type` it is a file, whose file name is the part's name."""

    name: str
    data: bytes = field(repr=False)
    media_type: str = ""

    def header(self) -> bytes:
        """Return the part's headers and the empty line after them."""
        text = f'Content-Disposition: form-data; name="{self.name}"'
        if self.media_type:
            text += f'; filename="{self.name}"\r\nContent-Type: {self.media_type}'
        return text.encode() + b"\r\n\r\n"


def encode(parts: Iterable[FormPart]) -> tuple[str, bytes]:
    """Return the Content-Type and the body.

    The boundary is fixed, so that the body depends on the content alone. If the content contains the boundary, a hash
    of the content takes its place, and so on until the boundary occurs nowhere.
    """
    parts = tuple(parts)
    boundary = _BOUNDARY
    while any(boundary in part.data for part in parts):
        boundary = sha256(boundary + b"".join(part.data for part in parts)).hexdigest().encode()
    pieces: list[bytes] = []
    for part in parts:
        pieces += (b"--", boundary, b"\r\n", part.header(), part.data, b"\r\n")
    return f"multipart/form-data; boundary={boundary.decode()}", b"".join((*pieces, b"--", boundary, b"--\r\n"))


def decode(content_type: str, body: bytes) -> dict[str, FormPart]:
    """Return the parts, by name, of a body that `encode` returned."""
    boundary = content_type.partition("boundary=")[2].encode()
    parts = {}
    for piece in body.split(b"--" + boundary)[1:-1]:
        header, _, data = piece.partition(b"\r\n\r\n")
        name = header.partition(b'name="')[2].partition(b'"')[0].decode()
        media_type = header.partition(b"Content-Type: ")[2].decode()
        parts[name] = FormPart(name=name, data=data.removesuffix(b"\r\n"), media_type=media_type)
    return parts
