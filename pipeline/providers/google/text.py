"""Reads the text in the picture: blocks become regions, and words become lines, cut where breaks are (docs/record.md).

The service knows blocks, paragraphs, words and symbols, but no lines. Source: discovery document, TextAnnotation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from pipeline.providers.collector import Json, as_list, as_object, take
from pipeline.providers.google.boxes import Frame
from pipeline.providers.google.collector import GoogleCollector
from pipeline.providers.google.text_lines import Break, LineCutter, Word
from pipeline.schema import Region, Text

_FULL: Final = "fullTextAnnotation"
_WORDS: Final = "textAnnotations"
_BLOCKS: Final = f"{_FULL}.pages[].blocks"
# What is not kept: the boxes of paragraphs and symbols, and the languages and certainties below the block and the word.
_OF_PARAGRAPH: Final = frozenset({"boundingBox", "confidence", "property", "words"})
_OF_WORD: Final = frozenset({"boundingBox", "confidence", "property", "symbols"})
_OF_SYMBOL: Final = frozenset({"boundingBox", "confidence", "property", "text"})
_SWAPPED: Final = "boxes of text: the service read the picture with its sides swapped"


def read_text(response: Json, collector: GoogleCollector) -> None:
    """Take both forms of text from a response: the whole with its words, and the finer parts of it."""
    whole = collector.objects(_WORDS, take(response, _WORDS, list) or [])
    full = dict(take(response, _FULL, dict) or {})
    pages = collector.objects(f"{_FULL}.pages", take(full, "pages", list) or [])
    text = take(full, "text", str)
    collector.keep(_FULL, full)
    regions = [region for page in pages for region in _regions(page, collector)]
    first = whole[0] if whole else {}
    said, box = take(first, "description", str), collector.take_box(first, "boundingPoly")
    for name, value in first.items():
        collector.keep(f"{_WORDS}[0].{name}", value)
    if not regions:  # then the words are nowhere else
        collector.keep_columns(f"{_WORDS}[1:]", whole[1:])
    lines = text or said or "\n".join(line["text"] for region in regions for line in region["lines"])
    if lines:
        known: Text = {"full": lines.rstrip("\n"), "regions": regions, "sources": ["OCR"], "origin": "pixels"}
        collector.insights["text"] = known if box is None else {**known, "box": box}


def text_frame(response: Json, sent: tuple[int, int] | None) -> tuple[Frame, str]:
    """Return what corners refer to, by the size that the service gives its page, and what is wrong with that.

    A page that was scaled is as good as the picture. One with its sides swapped was turned: its corners would lie on
    other things, so none of them is read.
    """
    pages = as_list(as_object(response.get(_FULL)).get("pages"))
    page = as_object(pages[0]) if pages else {}
    width, height = page.get("width"), page.get("height")
    if type(width) is not int or type(height) is not int or width < 1 or height < 1:
        return Frame(sent), ""
    if sent and (width, height) == sent[::-1] and width != height:
        return Frame(), _SWAPPED
    return Frame((width, height)), ""


def _regions(page: Json, collector: GoogleCollector) -> Iterator[Region]:
    """Yield the blocks of a page that have text; what else is known of page and blocks is kept."""
    blocks = collector.objects(_BLOCKS, take(page, "blocks", list) or [])
    for name in ("width", "height"):  # the size of what was sent
        page.pop(name, None)
    confidences: list[Any] = []
    for block in blocks:
        box = collector.take_box(block, "boundingBox")
        cutter = LineCutter(collector.frame)
        for paragraph in collector.objects(f"{_BLOCKS}[].paragraphs", take(block, "paragraphs", list) or []):
            _read_paragraph(paragraph, cutter, confidences, collector)
        if cutter.lines:
            yield {"lines": cutter.lines} if box is None else {"box": box, "lines": cutter.lines}
        elif box is not None:
            block["boundingBox"] = box
    collector.keep_columns(_BLOCKS, blocks)
    if any(confidence is not None for confidence in confidences):
        collector.keep(f"{_BLOCKS}[].paragraphs[].words[].confidence", confidences)
    collector.keep(f"{_FULL}.pages[]", page)


def _read_paragraph(paragraph: Json, cutter: LineCutter, confidences: list[Any], collector: GoogleCollector) -> None:
    """Cut a paragraph into lines; its end always ends a line."""
    _keep_unknown(paragraph, _OF_PARAGRAPH, f"{_BLOCKS}[].paragraphs[]", collector)
    for word in as_list(paragraph.get("words")):
        if type(word) is dict:
            _keep_unknown(word, _OF_WORD, f"{_BLOCKS}[].paragraphs[].words[]", collector)
            cutter.add(_word(word, collector))
            confidences.append(word.get("confidence"))
    cutter.end_line()


def _word(source: Json, collector: GoogleCollector) -> Word:
    """Join the symbols of a word; a break belongs to the word, whichever of its symbols has it."""
    text, before, after = "", Break.NONE, Break.NONE
    for symbol in as_list(source.get("symbols")):
        if type(symbol) is not dict:
            continue
        if not symbol.keys() <= _OF_SYMBOL:
            _keep_unknown(symbol, _OF_SYMBOL, f"{_BLOCKS}[].paragraphs[].words[].symbols[]", collector)
        part = symbol.get("text")
        text += part if type(part) is str else ""
        properties = symbol.get("property")
        if type(properties) is dict and "detectedBreak" in properties:
            cut = as_object(properties["detectedBreak"])
            if cut.get("isPrefix") is True:
                before = Break.of(cut.get("type"))
            else:
                after = Break.of(cut.get("type"))
    return Word(text=text, polygon=source.get("boundingBox"), before=before, after=after)


def _keep_unknown(source: Json, known: frozenset[str], where: str, collector: GoogleCollector) -> None:
    for name in source.keys() - known:
        collector.keep(f"{where}.{name}", source[name])
