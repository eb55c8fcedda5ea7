"""Groups of pictures that are copies of each other, from records; and which one of each group is worth keeping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

Kind = Literal["exact", "same", "edited", "mirrored"]


class Preference(StrEnum):
    """What decides first which picture of a group is kept; the others decide where it is equal."""

    SIZE = "size"
    AGE = "age"
    FORMAT = "format"


class DuplicatesForm(StrEnum):
    """How groups are printed."""

    TEXT = "text"
    CSV = "csv"
    JSON = "json"


# The best first: those without loss, those with, and one of 256 colours.
_FORMATS = {"TIFF": 0, "PNG": 0, "BMP": 0, "AVIF": 1, "WEBP": 1, "JPEG": 1, "MPO": 1, "GIF": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture that may have copies; width and height in px, `published` is a date or empty, `row` counts from 0."""

    row: int
    id: str
    path: str
    sha256: str
    width: int
    height: int
    bytes: int
    format: str
    published: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A copy and what it is of the picture that is kept; `score` is 0..1."""

    picture: Picture
    kind: Kind
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The picture to keep, and its copies in the order of the manifest."""

    kept: Picture
    copies: Sequence[Copy]


class Copies:
    """Collects pictures from records in the manifest's order, then groups them.

    Files with the same bytes are copies whatever the provider; others are where a record lists them in `duplicates`.
    """

    def __init__(self) -> None:
        self._pictures: dict[str, Picture] = {}
        self._first: dict[str, str] = {}  # id by SHA-256
        self._groups: dict[str, str] = {}  # towards the first id of a group
        self._links: dict[tuple[str, str], tuple[Kind, float]] = {}
        self._any_link: dict[str, tuple[Kind, float]] = {}

    def add(self, row: int, record: Mapping[str, Any]) -> None:
        """Take in a record; `row` is its place in the manifest."""
        picture = _picture(row, record)
        self._pictures[picture.id] = picture
        if picture.sha256:
            self._join(self._first.setdefault(picture.sha256, picture.id), picture.id)
        for copy in record.get("duplicates", []):
            link = copy["kind"], copy["score"]
            self._links[picture.id, copy["id"]] = link
            for name in (picture.id, copy["id"]):
                self._any_link.setdefault(name, link)
            self._join(picture.id, copy["id"])

    def groups(self, prefer: Preference = Preference.SIZE) -> Iterator[Group]:
        """Yield the groups of at least two rows, in the order of the manifest."""
        members: dict[str, list[Picture]] = {}
        for picture in self._pictures.values():
            if picture.id in self._groups:
                members.setdefault(self._root(picture.id), []).append(picture)
        for pictures in members.values():
            if len(pictures) > 1:
                kept = min(pictures, key=lambda picture: _rank(picture, prefer))
                copies = [self._copy(picture, kept) for picture in pictures if picture is not kept]
                yield Group(kept=kept, copies=copies)

    def _copy(self, picture: Picture, kept: Picture) -> Copy:
        """Return what a picture is of the kept one: as they say of each other, else what it is of another one."""
        if picture.sha256 and picture.sha256 == kept.sha256:
            return Copy(picture=picture, kind="exact", score=1.0)
        links = self._links
        link = links.get((picture.id, kept.id)) or links.get((kept.id, picture.id))
        kind, score = link or self._any_link.get(picture.id, ("exact", 1.0))
        return Copy(picture=picture, kind=kind, score=score)

    def _join(self, one: str, other: str) -> None:
        if one != other:
            self._groups.setdefault(one, one)
            self._groups.setdefault(other, other)
            self._groups[self._root(other)] = self._root(one)

    def _root(self, name: str) -> str:
        """Return the id that stands for a group; ways there are shortened."""
        while (above := self._groups[name]) != name:
            self._groups[name] = name = self._groups[above]
        return name


def _picture(row: int, record: Mapping[str, Any]) -> Picture:
    source = record["source"]
    return Picture(
        row=row,
        id=record["id"],
        path=source.get("path") or source.get("url") or "",
        sha256=source.get("sha256", ""),
        width=source.get("width", 0),
        height=source.get("height", 0),
        bytes=source.get("bytes", 0),
        format=source.get("format", ""),
        published=record.get("image", {}).get("published", ""),
    )


def _rank(picture: Picture, prefer: Preference) -> tuple[object, ...]:
    """Return what sorts the picture to keep first: by what is preferred, then by the others, then by the manifest."""
    size = (-picture.width * picture.height,)
    shape = (_FORMATS.get(picture.format, 3), -picture.bytes)
    age = (picture.published or "9999",)  # the oldest; one without a date is not known to be old
    orders = {
        Preference.SIZE: size + shape + age,
        Preference.FORMAT: shape + size + age,
        Preference.AGE: age + size + shape,
    }
    return (*orders[prefer], picture.row)
