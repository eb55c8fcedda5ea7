"""Text in the picture, by regions, lines and words, and the addresses in it."""

from __future__ import annotations

from typing import Literal, Required

from typing_extensions import TypedDict

from pipeline.schema.parts import Box, Origin, closed


@closed
class Word(TypedDict, total=False):
    text: Required[str]
    box: Box


@closed
class Line(TypedDict, total=False):
    text: Required[str]
    box: Box
    words: Required[list[Word]]


@closed
class Region(TypedDict, total=False):
    box: Box
    lines: Required[list[Line]]


@closed
class Text(TypedDict, total=False):
    full: Required[str]
    box: Box
    regions: Required[list[Region]]
    whole_texts: list[Region]
    sources: Required[list[str]]
    origin: Origin


@closed
class Uri(TypedDict, total=False):
    uri: Required[str]
    kind: Required[Literal["mail", "phone", "web", "other"]]
    box: Box
    sources: Required[list[str]]
    origin: Origin
