"""Makes a Row of one line's fields, or the Failure that says why it is none. Links are the only files looked at."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import orjson

from pipeline.config import Columns
from pipeline.errors import LineError
from pipeline.records import CloudFile, Crop, Failure, Image, InsightsToken, LocalFile, RemoteUrl, Row, Skipped
from pipeline.tabular.cells import SHOWN_CHARS, Naming, check_id, read_image, read_text, shown
from pipeline.tabular.line_reader import LineReader
from pipeline.tabular.listing import Listed, parse_listed
from pipeline.tabular.parsing import LineFields, Parser
from pipeline.tabular.pictures import check_not_raw
from pipeline.tabular.root import CloudRoot, Root
from pipeline.wording import readable

_SIDES = ("left", "top", "right", "bottom")


Item = Row | Failure | Skipped


def table_rows(lines: LineReader, ordinal: int, parse: Parser, rules: RowRules) -> Iterator[list[Item]]:
    """Make rows of a table's lines, those of a line together; the first row has the number `ordinal`."""
    for line, fields in parse(lines):
        lines.note_row()
        items = rules.read(fields, line=line, ordinal=ordinal)
        ordinal += len(items)
        yield items


def listed_rows(
    lines: LineReader, ordinal: int, picture: Callable[[Listed], Image], where: str
) -> Iterator[list[Item]]:
    """Make rows of pictures that are listed `where` ("folder"), by their names; the first one counts as line 1."""
    for number, line in enumerate(lines, ordinal):
        yield [_listed_row(parse_listed(line), picture, where, number)]


def _listed_row(listed: Listed, picture: Callable[[Listed], Image], where: str, ordinal: int) -> Item:
    """Return the row of a picture; its name is taken as it is, blanks and colons too. `picture` raises LineError."""
    if not listed.name:
        return Skipped(line=ordinal + 1, ordinal=ordinal)
    row_id = None
    try:
        if not listed.name.endswith("/"):  # a folder that can't be read has no id
            row_id = check_id(readable(listed.name))
        if listed.error is not None:
            raise listed.error
        return Row(id=row_id or listed.name, image=picture(listed), ordinal=ordinal, line=ordinal + 1)
    except LineError as exc:
        return _failure(exc, where, row_id=row_id, image=listed.name, line=ordinal + 1, ordinal=ordinal)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRules:
    """How fields become rows: which column holds what, below which folder the pictures are, what is carried along."""

    columns: Columns
    root: Root | CloudRoot
    carry: tuple[str, ...] = ()
    naming: Naming

    def read(self, fields: LineFields | LineError, *, line: int, ordinal: int) -> list[Item]:
        """Return the rows of one line, or the Failure of stage "manifest" that names the line and what is wrong."""
        if isinstance(fields, LineError):
            return [_failure(fields, f"line {line}", row_id=None, image=None, line=line, ordinal=ordinal)]
        naming = self.naming
        if naming.skips and naming.is_skipped(fields):
            return [Skipped(line=line, ordinal=ordinal)]
        row_id = None
        try:
            row_id = naming.read_id(fields)
            images = naming.read_images(fields, row_id)
        except LineError as exc:
            image = fields.get(naming.image)
            return [_failure(exc, f"line {line}", row_id=row_id, image=image, line=line, ordinal=ordinal)]
        if len(images) == 1:  # as in most tables: a row takes 10 us
            return [self._row(fields, *images[0], line, ordinal)]
        return [self._row(fields, *named, line, number) for number, named in enumerate(images, ordinal)]

    def _row(self, fields: LineFields, row_id: str, image: str, line: int, ordinal: int) -> Row | Failure:
        columns, get = self.columns, fields.get
        try:
            return Row(
                id=row_id,
                image=self._image(image),
                ordinal=ordinal,
                line=line,
                crop=None if (crop := get(columns.crop)) is None else read_crop(crop),
                query=None if (query := get(columns.query)) is None else read_text(query, columns.query),
                site=None if (site := get(columns.site)) is None else read_text(site, columns.site),
                market=None if (market := get(columns.market)) is None else read_text(market, columns.market),
                carry={name: fields[name] for name in self.carry if name in fields} if self.carry else {},
            )
        except LineError as exc:
            return _failure(exc, f"line {line}", row_id=row_id, image=image, line=line, ordinal=ordinal)

    def _image(self, text: str) -> Image:
        kind, text = read_image(text)
        if kind == "path":
            return self.picture(self.root.name_below(text))
        if kind == "cloud":
            check_not_raw(text)
            return CloudFile(url=text)
        return RemoteUrl(url=text) if kind == "url" else InsightsToken(token=text)

    def picture(self, name: str, stamp: bytes = b"") -> LocalFile | CloudFile:
        """Return the picture with a name below the root; raises LineError where it can't be one."""
        check_not_raw(name)
        if isinstance(self.root, CloudRoot):
            return CloudFile(url=self.root.url(name), stamp=stamp)
        return LocalFile(path=self.root.locate(name), name=name)


def _failure(error: LineError, place: str, *, row_id: str | None, image: object, line: int, ordinal: int) -> Failure:
    """Return an error as a Failure; what it shows of the manifest is cut short and valid Unicode."""
    return Failure(
        id=row_id,
        line=line,
        ordinal=ordinal,
        image=shown(readable(image)) if isinstance(image, str) and image else None,
        stage="manifest",
        code=error.code,
        message=f"{place}: {shown(str(error), 2 * SHOWN_CHARS)}",
    )


def read_crop(value: object) -> Crop | None:
    """Read "left,top,right,bottom", the same four in a list, or an object with these keys, all fractions 0..1.

    None for empty text. Raises LineError "bad-crop" unless left < right and top < bottom within 0..1.
    """
    if isinstance(value, str):
        if not (text := value.strip()):
            return None
        value = _split_crop(text)
    if isinstance(value, dict) and value.keys() == set(_SIDES):
        value = [value[side] for side in _SIDES]
    if not isinstance(value, list) or len(value) != len(_SIDES):
        raise LineError("bad-crop", 'crop must be four fractions: "left,top,right,bottom", such as "0.1,0.2,0.9,0.8"')
    left, top, right, bottom = (_fraction(part) for part in value)
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise LineError("bad-crop", f"crop {value} must keep 0 <= left < right <= 1 and 0 <= top < bottom <= 1")
    return Crop(left=left, top=top, right=right, bottom=bottom)


def _split_crop(text: str) -> object:
    if text[0] not in "{[":
        return text.split(",")
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _fraction(part: object) -> float:
    try:
        number = float(part) if isinstance(part, (str, int, float)) and not isinstance(part, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise LineError("bad-crop", f"crop holds {shown(repr(part))}, which is no fraction between 0 and 1")
    return number
