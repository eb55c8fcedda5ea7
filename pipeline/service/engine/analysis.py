"""The facts and features of a picture that the index stores: computed once for each content, for all its rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

import numpy as np
import orjson

from pipeline.service.engine.color import extract_palette
from pipeline.service.engine.descriptors import DIMENSIONS, THUMB_PX, Features, describe
from pipeline.service.engine.pictures import MAX_FILE_BYTES, open_picture
from pipeline.service.findings import BadPicture

# Must change whenever the numbers below change their meaning: older indexes are then rebuilt.
ALGORITHM = "5"


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFacts:
    """Facts about a picture: px of the upright original, bytes of the file, colours as "RRGGBB"."""

    width: int
    height: int
    bytes: int
    format: str
    accent_color: str
    dominant_colors: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """A picture's facts and features."""

    facts: PictureFacts
    features: Features


def write_facts(facts: PictureFacts) -> bytes:
    """Write facts as JSON for the index."""
    return orjson.dumps(facts)


def read_facts(text: bytes) -> PictureFacts:
    """Read what `write_facts` wrote."""
    facts = orjson.loads(text)
    return PictureFacts(
        **{**facts, "dominant_colors": tuple((name, share) for name, share in facts["dominant_colors"])}
    )


def read_file(file: Path) -> bytes:
    """Read a picture's file; raises BadPicture if it is missing, not a regular file, or too large to decode."""
    try:
        status = file.stat()
        if not S_ISREG(status.st_mode):  # opening a pipe would wait for a writer
            raise BadPicture("damaged", "it is not a regular file")
        if status.st_size > MAX_FILE_BYTES:
            raise BadPicture("too-many-pixels", f"the file is larger than {MAX_FILE_BYTES} bytes")
        return file.read_bytes()
    except OSError as exc:
        raise BadPicture("damaged", f"the file can't be read ({exc.strerror})") from exc


def analyse(data: bytes) -> Analysis:
    """Decode a picture and compute its facts and features; raises BadPicture."""
    opened = open_picture(data)
    colors = extract_palette(opened.pixels)
    facts = PictureFacts(
        width=opened.width,
        height=opened.height,
        bytes=opened.bytes,
        format=opened.format,
        accent_color=colors.accent,
        dominant_colors=colors.dominant,
    )
    return Analysis(facts=facts, features=describe(opened.pixels)[0])


def pack_features(features: Features) -> bytes:
    """Concatenate the features' bytes for the staging table."""
    return features.phash.tobytes() + features.descriptor.tobytes() + features.thumb.tobytes()


def unpack_features(packed: bytes) -> Features:
    """Read what `pack_features` wrote."""
    hash_end, end = 32, 32 + 4 * DIMENSIONS
    return Features(
        phash=np.frombuffer(packed[:hash_end], dtype=np.uint64),
        descriptor=np.frombuffer(packed[hash_end:end], dtype=np.float32),
        thumb=np.frombuffer(packed[end:], dtype=np.uint8).reshape(THUMB_PX, THUMB_PX, 3),
    )
