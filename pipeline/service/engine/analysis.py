"""The facts and features of a picture that the index stores: computed once for each content, for all its rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import orjson

from pipeline.service.engine.color import extract_palette
from pipeline.service.engine.descriptors import DIMENSIONS, HASH_WORDS, THUMB_PX, Features, describe
from pipeline.service.engine.pictures import OpenedPicture, PictureHeader, decode

# Must change whenever the numbers below change their meaning: older indexes are then rebuilt.
ALGORITHM = "6"
# What pack_features() returns: hash, descriptor and thumbnail.
FEATURES_BYTES = 8 * HASH_WORDS + 4 * DIMENSIONS + 3 * THUMB_PX**2


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFacts:
    """Facts about a picture: px of the upright original, bytes of the file, colours as "RRGGBB"."""

    width: int
    height: int
    bytes: int
    format: str
    accent_color: str
    dominant_colors: tuple[tuple[str, float], ...]
    animated: bool = False
    transparent: bool = False


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


def analyse(header: PictureHeader) -> Analysis:
    """Decode a picture and compute its facts and features; raises BadPicture."""
    opened = decode(header)
    return Analysis(facts=facts_of(opened), features=describe(opened.pixels)[0])


def facts_of(opened: OpenedPicture) -> PictureFacts:
    """Return the facts about a picture; the colours are those of the part that was decoded."""
    colors = extract_palette(opened.pixels)
    return PictureFacts(
        width=opened.width,
        height=opened.height,
        bytes=opened.bytes,
        format=opened.format,
        accent_color=colors.accent,
        dominant_colors=colors.dominant,
        animated=opened.animated,
        transparent=opened.transparent,
    )


def pack_features(features: Features) -> bytes:
    """Concatenate the features' bytes, FEATURES_BYTES in all."""
    return features.phash.tobytes() + features.descriptor.tobytes() + features.thumb.tobytes()


def unpack_features(packed: bytes) -> Features:
    """Read what `pack_features` wrote; raises ValueError if it has another length."""
    hash_end = 8 * HASH_WORDS
    end = hash_end + 4 * DIMENSIONS
    return Features(
        phash=np.frombuffer(packed[:hash_end], dtype=np.uint64),
        descriptor=np.frombuffer(packed[hash_end:end], dtype=np.float32),
        thumb=np.frombuffer(packed[end:], dtype=np.uint8).reshape(THUMB_PX, THUMB_PX, 3),
    )
