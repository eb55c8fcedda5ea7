"""The program of the service's decoder processes: works on one picture after another, each within a deadline.

A picture that crashes the decoder or takes too long ends this process, and nothing else.
"""

from __future__ import annotations

from typing import Any

import orjson

from pipeline.decoding.child import Parent, limit_memory, memory_bytes, picture_deadline
from pipeline.service.engine.analysis import analyse
from pipeline.service.engine.decoder_messages import (
    Reply,
    pack_analysis,
    pack_bug,
    pack_bytes,
    pack_problem,
    pack_query,
)
from pipeline.service.engine.model_input import read_model_input
from pipeline.service.engine.pictures import PictureHeader, read_header
from pipeline.service.engine.query import read_query
from pipeline.service.engine.thumbnails import make_thumbnail
from pipeline.service.findings import BadPicture

# A process at rest takes 35 MB, and the largest picture that is decoded 512 MB and some copies.
MAX_PROCESS_BYTES = 1536 * 1024 * 1024
# A process that keeps more memory than this after a picture makes way for a new one.
RETIRED_ABOVE_BYTES = 256 * 1024 * 1024


def main() -> None:
    """Work on what the service sends, until it closes the connection, or ends."""
    parent = Parent()
    limit_memory(MAX_PROCESS_BYTES)
    while (request := parent.receive()) is not None and (picture := parent.receive()) is not None:
        parent.send(*_reply(picture, orjson.loads(request)))
        if memory_bytes() > RETIRED_ABOVE_BYTES:
            return


def _reply(picture: bytes, request: dict[str, Any]) -> Reply:
    """Return the result, what is wrong with the picture, or what went wrong (a bug)."""
    try:
        with picture_deadline():
            header = read_header(picture, request.get("max_side_px"))
        with picture_deadline(header.width * header.height):
            return _work(header, request)
    except BadPicture as exc:
        return pack_problem(exc)
    except MemoryError:
        return pack_problem(BadPicture("too-many-pixels", "there was not enough memory to decode the picture"))
    except Exception as exc:
        return pack_bug(exc)


def _work(header: PictureHeader, request: dict[str, Any]) -> Reply:
    match request["job"]:
        case "analysis":
            return pack_analysis(analyse(header))
        case "query":
            return pack_query(read_query(header, request["crop"]))
        case "model_input":
            pixels = read_model_input(header, request["crop"], request["size_px"], request["resize"])
            return pack_bytes(pixels.tobytes())
        case _:
            size = {name: request[name] for name in ("width", "height", "fills")}
            return pack_bytes(make_thumbnail(header, **size))
