"""Recognised text in both of its forms, and the addresses in it (Visual Search query and response guides).

Older responses give the whole text as the display name of a TextResults action, newer ones a TextRecognition action
with regions, lines and words. Both are in tags whose name starts with ##, which must never be shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.providers.bing.boxes import quadrilateral
from pipeline.providers.bing.shapes import Context, Json, JsonPath, Shape
from pipeline.schema import Box

_WORD = Shape({"text": ("text", str)}, converted={"boundingBox": ("box", quadrilateral)})


def _word(source: Json, context: Context, path: JsonPath) -> Json:
    return {"text": "", **_WORD.read(source, context, path)}


_LINE = Shape(
    {"text": ("text", str)},
    converted={"boundingBox": ("box", quadrilateral)},
    lists={"words": ("words", _word)},
)


def _line(source: Json, context: Context, path: JsonPath) -> Json:
    return {"text": "", "words": [], **_LINE.read(source, context, path)}


_REGION = Shape(converted={"boundingBox": ("box", quadrilateral)}, lists={"lines": ("lines", _line)})


def _region(source: Json, context: Context, path: JsonPath) -> Json:
    return {"lines": [], **_REGION.read(source, context, path)}


_MODULE = Shape(lists={"regions": ("regions", _region)})


@dataclass(frozen=True, slots=True)
class RecognisedText:
    """The text of one picture, collected from all its tags.

    `regions` come from TextRecognition actions, `whole_texts` from TextResults actions. `sources` are the recognisers,
    such as OCR.
    """

    whole_texts: list[Json] = field(default_factory=list)
    regions: list[Json] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)

    def add_regions(self, data: Json, box: Box | None, context: Context, path: JsonPath) -> None:
        """Add the regions of a TextRecognition action, which has all text of the picture.

        Source: Visual Search response guide.
        """
        if box is not None:
            self.boxes.append(box)
        self.regions.extend(_MODULE.read(data, context, path).get("regions", ()))

    def add_whole_text(self, text: str, box: Box | None) -> None:
        """Add the text of a TextResults action (Visual Search query guide) as a region of one line."""
        line: Json = {"text": text, "words": []}
        self.whole_texts.append({"lines": [line]} if box is None else {"box": box, "lines": [line]})

    def add_sources(self, sources: list[str]) -> None:
        """Add the names of recognisers, each once."""
        self.sources.extend(source for source in sources if source not in self.sources)

    def as_record(self) -> Json | None:
        """Return the record's Text, or None if there is no text.

        If both forms came, the full text is the older form's, and the regions are the newer form's: they hold the same
        text in finer parts. Texts of the older form that have a box of their own are kept beside them.
        """
        if not self.whole_texts and not self.regions:
            return None
        full = "\n".join(line["text"] for region in self.whole_texts or self.regions for line in region["lines"])
        text: Json = {
            "full": full,
            "regions": self.regions or self.whole_texts,
            "sources": self.sources,
            "origin": "pixels",
        }
        whole_texts = [text for text in self.whole_texts if text.get("box") not in (None, *self.boxes)]
        if self.regions and whole_texts:
            text["whole_texts"] = whole_texts
        return {**text, "box": self.boxes[0]} if self.boxes else text


def uri(address: str, box: Box | None, sources: list[str]) -> Json:
    """Return the record's Uri for an address, which is copied unchanged."""
    scheme = address.partition(":")[0].lower()
    kind = {"mailto": "mail", "tel": "phone", "http": "web", "https": "web"}.get(scheme, "other")
    fields: Json = {"uri": address, "kind": kind, "sources": sources, "origin": "pixels"}
    if box is not None:
        fields["box"] = box
    return fields
