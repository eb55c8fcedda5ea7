"""Recognised text in both of its forms, and the addresses found in it (references 002 and 003).

Older answers give the whole text as the display name of a TextResults action, newer ones a TextRecognition action
with regions, lines and words. Both stand in tags whose name starts with ##, which must never be shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.providers.bing.boxes import quadrilateral
from pipeline.providers.bing.shapes import At, Context, Json, Shape
from pipeline.schema import Box

_WORD = Shape({"text": ("text", str)}, converted={"boundingBox": ("box", quadrilateral)})


def _word(source: Json, context: Context, at: At) -> Json:
    return {"text": "", **_WORD.read(source, context, at)}


_LINE = Shape(
    {"text": ("text", str)},
    converted={"boundingBox": ("box", quadrilateral)},
    lists={"words": ("words", _word)},
)


def _line(source: Json, context: Context, at: At) -> Json:
    return {"text": "", "words": [], **_LINE.read(source, context, at)}


_REGION = Shape(converted={"boundingBox": ("box", quadrilateral)}, lists={"lines": ("lines", _line)})


def _region(source: Json, context: Context, at: At) -> Json:
    return {"lines": [], **_REGION.read(source, context, at)}


_MODULE = Shape(lists={"regions": ("regions", _region)})


@dataclass(frozen=True, slots=True)
class Words:
    """The text gathered so far, from however many tags."""

    wholes: list[Json] = field(default_factory=list)
    regions: list[Json] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)

    def text(self) -> Json | None:
        """Return the record's Text: the service's own whole text, or the lines one below the other.

        Where both forms came, the newer one's regions stand: they are the same text in finer parts.
        """
        if not self.wholes and not self.regions:
            return None
        full = "\n".join(line["text"] for region in self.wholes or self.regions for line in region["lines"])
        regions = self.regions or self.wholes
        found: Json = {"full": full, "regions": regions, "sources": self.sources, "origin": "pixels"}
        return {**found, "box": self.boxes[0]} if self.boxes else found


def add_recognition(words: Words, data: Json, box: Box | None, context: Context, at: At) -> None:
    """Add the regions of a TextRecognition action, which has all text of the picture (reference 003)."""
    if box is not None:
        words.boxes.append(box)
    words.regions.extend(_MODULE.read(data, context, at).get("regions", ()))


def add_whole(words: Words, whole: str, box: Box | None) -> None:
    """Add the whole text of a TextResults action (reference 002) as a region of one line."""
    line: Json = {"text": whole, "words": []}
    words.wholes.append({"lines": [line]} if box is None else {"box": box, "lines": [line]})


def add_sources(words: Words, sources: list[str]) -> None:
    """Add what recognised the text, such as OCR, once."""
    words.sources.extend(source for source in sources if source not in words.sources)


def uri(address: str, box: Box | None, sources: list[str]) -> Json:
    """Return the record's Uri; the address itself stays verbatim."""
    scheme = address.partition(":")[0].lower()
    kind = {"mailto": "mail", "tel": "phone", "http": "web", "https": "web"}.get(scheme, "other")
    found: Json = {"uri": address, "kind": kind, "sources": sources, "origin": "pixels"}
    if box is not None:
        found["box"] = box
    return found
