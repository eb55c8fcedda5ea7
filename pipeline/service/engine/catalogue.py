"""Reads the user's catalogue for the index, row by row: a table or a folder, by the same rules as a manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import LineError, TableError
from pipeline.service.findings import CatalogueConfig
from pipeline.tabular.cells import SHOWN_CHARS, Naming, check_id, read_image, shown
from pipeline.tabular.columns import WantedColumns
from pipeline.tabular.folder import list_pictures
from pipeline.tabular.formats import TableFile, find_format
from pipeline.tabular.listing import parse_listed
from pipeline.tabular.parsing import LineFields
from pipeline.tabular.pictures import check_not_raw
from pipeline.tabular.root import Root
from pipeline.tabular.tables import Table, open_table
from pipeline.wording import readable

FIELDS = (
    "id", "image", "title", "description", "page_url", "content_url", "seller", "seller_image_url", "price", "currency",
    "availability", "rating", "rating_best", "reviews", "updated", "tags", "category", "published", "creator",
    "cook_time", "prep_time", "total_time", "license", "adult",
)  # fmt: skip
_SECTION = "catalogue"

Fields = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row as text: `fields` holds the known columns that aren't empty, `id` and `image` always among them.

    `file` is the picture on disk, None where the row points elsewhere; `problem` says why a row has no usable picture.
    The `id` is empty where the line is no row. `is_cut`: the catalogue can't be read on, and this last entry says so.
    """

    line: int
    fields: Fields
    file: Path | None = None
    problem: str | None = None
    is_cut: bool = False

    @property
    def is_row(self) -> bool:
        """True where the entry has an id; any other is reported with its problem, and never served."""
        return bool(self.fields["id"])


def read_entries(config: CatalogueConfig) -> Iterator[Entry]:
    """Yield the catalogue's rows in order, lazily; raises TableError where it can't be read or lacks a column.

    Of a file that is cut off or damaged, the rows before that place are yielded, and last an entry that says so.
    """
    if unknown := set(config.columns) - set(FIELDS):
        raise TableError(f"unknown catalogue field {min(unknown)!r}; known are: {', '.join(FIELDS)}")
    file = TableFile(
        path=str(config.path),
        section=_SECTION,
        format=config.format,
        delimiter=config.delimiter,
        encoding=config.encoding,
    )
    table_format = find_format(file)
    if table_format.kind == "archive":
        raise TableError(f"{_SECTION}.path: the service can't read the archive {file.path}; unpack it, give its folder")
    if table_format.kind == "folder":
        root = Root(config.root or config.path, _SECTION)
        for number, line in enumerate(list_pictures(file, root.path), start=1):
            listed = parse_listed(line)
            if listed.name:
                yield _file_entry(number, listed.name, listed.error, root)
        return
    root = Root(config.root or config.path.parent, _SECTION)
    naming = Naming(
        ids=config.ids or (config.columns.get("id", "id"),),
        image=config.columns.get("image", "image"),
        split=config.split,
        skips=config.skip_without_image,
    )
    with open_table(file, table_format, _wanted_columns(config.columns, naming)) as table:
        yield from _table_entries(table, config, naming, root)


def _wanted_columns(columns: Mapping[str, str], naming: Naming) -> WantedColumns:
    """Return the columns to check for: the image's, and those that the config names otherwise than their fields.

    Of other columns that are in a header twice the last one counts, because a manifest with them is read as well.
    """
    names = {field: columns.get(field, field) for field in FIELDS if field != "id"}
    return WantedColumns(
        image=naming.image,
        ids=naming.ids,
        required=(
            *(name for field, name in names.items() if name != field),
            *(naming.ids if naming.ids != ("id",) else ()),
        ),
        optional=naming.ids,
        others=tuple(names.values()),
        hinted={f"{_SECTION}.columns.{field}": name for field, name in {"id": naming.ids[0], **names}.items()},
        settings=f"{_SECTION}.columns",
    )


def _table_entries(table: Table, config: CatalogueConfig, naming: Naming, root: Root) -> Iterator[Entry]:
    has_rows = False
    try:
        for line, fields in table:
            has_rows = True
            yield from _line_entries(line, fields, config.columns, naming, root)
    except TableError as exc:
        if config.whole or not has_rows:
            raise
        yield Entry(line=table.lines.line, fields=_no_fields(), problem=str(exc), is_cut=True)


def _line_entries(
    line: int, row: LineFields | LineError, columns: Mapping[str, str], naming: Naming, root: Root
) -> Iterator[Entry]:
    """Yield an entry for each picture of a line, or one that says what is wrong with it; none where it is skipped."""
    if isinstance(row, LineError):
        yield Entry(line=line, fields=_no_fields(), problem=_sentence(row))
        return
    if naming.is_skipped(row):
        return
    texts = {field: text for field in FIELDS[2:] if (text := _text(row.get(columns.get(field, field))))}
    named = {"id": "", "image": shown(_text(row.get(naming.image)))}
    try:
        named["id"] = naming.read_id(row) or ""
        images = naming.read_images(row, named["id"] or None)
    except LineError as exc:
        yield Entry(line=line, fields=named | texts, problem=_sentence(exc))
        return
    for row_id, image in images:
        yield _entry(line, {"id": row_id, "image": image, **texts}, root)


def _entry(line: int, fields: dict[str, str], root: Root) -> Entry:
    """Return the entry of one picture."""
    try:
        kind, image = read_image(fields["image"])
        if kind == "path":
            return Entry(line=line, fields={**fields, "image": image}, file=_locate(root, root.name_below(image)))
    except LineError as exc:
        return Entry(line=line, fields={**fields, "image": shown(fields["image"])}, problem=_sentence(exc))
    if kind == "token":
        return Entry(line=line, fields={**fields, "image": f"token:{image}"})
    if kind == "cloud":
        return Entry(line=line, fields=fields, problem="the picture is in cloud storage, which the service can't read")
    return Entry(line=line, fields={"content_url": image, **fields, "image": image})


def _file_entry(line: int, name: str, error: LineError | None, root: Root) -> Entry:
    fields = _no_fields(readable(name))
    try:
        if error is not None:
            raise error
        fields = {"id": check_id(readable(name)), "image": readable(name)}
        return Entry(line=line, fields=fields, file=_locate(root, name))
    except LineError as exc:
        return Entry(line=line, fields=fields, problem=_sentence(exc))


def _no_fields(image: str = "") -> dict[str, str]:
    """Return the fields of a row whose id can't be read."""
    return {"id": "", "image": shown(image)}


def _sentence(error: LineError) -> str:
    return shown(str(error), 2 * SHOWN_CHARS)


def _locate(root: Root, name: str) -> Path:
    check_not_raw(name)
    path = root.locate(name)
    if readable(path) != path:  # the index keeps it as text
        raise LineError("bad-image", f"{readable(path)!r} has a name that is not UTF-8; the service can't use it")
    return Path(path)


def _text(value: object) -> str:
    """Return a cell as stripped text, nothing for an object; the parts of a list (tags in JSON) are joined."""
    if isinstance(value, list):
        value = "|".join(str(part) for part in value)
    return "" if value is None or isinstance(value, dict) else str(value).strip()
