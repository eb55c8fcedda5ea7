"""Which columns of a table are read: matched by name, checked, and hinted at where one looks like a known column."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher, get_close_matches

from pipeline.errors import TableError

_COLUMNS_SHOWN = 20
_CLOSE = 0.8
_NOT_WORDS = re.compile(r"[\W_]+")
# What columns of the image and of the id are called elsewhere, without blanks, most telling first.
_OTHER_NAMES: Mapping[str, tuple[str, ...]] = {
    "image": (
        *("imageurl", "imagesrc", "imagelink", "imagepath", "imagefile", "imagefilename", "images", "img", "imgurl"),
        *(
            "imgsrc",
            "picture",
            "pictureurl",
            "pictures",
            "photo",
            "photourl",
            "photos",
            "pic",
            "baseimage",
            "mainimage",
        ),
        *(
            "thumbnail",
            "bild",
            "bildurl",
            "foto",
            "imagen",
            "filename",
            "file",
            "filepath",
            "path",
            "url",
            "src",
            "link",
        ),
    ),
    "id": (
        *("sku", "productid", "itemid", "imageid", "recordid", "rowid", "uid", "uuid", "identifier", "handle"),
        *(
            "variantsku",
            "articlenumber",
            "article",
            "asin",
            "gtin",
            "ean",
            "upc",
            "isbn",
            "barcode",
            "code",
            "reference",
        ),
        *("ref", "key", "number", "no"),
    ),
    "query": ("keyword", "keywords", "searchterm", "search"),
    "crop": ("box", "bbox", "region", "roi"),
    "site": ("domain", "website"),
    "market": ("locale", "country"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedColumns:
    """The columns that are read from a table.

    Every table needs `image`, the only column of plain text. A csv header must name those in `required` too, and
    nothing that is read, `optional` columns included, more than once. `others` are read if they are there. The values
    of `ids` may be numbers. `hinted` maps the config key of a column to its name, where a column with another name may
    be meant. `settings` are the config keys that choose the columns, for messages.
    """

    image: str
    ids: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    hinted: Mapping[str, str] = field(default_factory=dict)
    settings: str

    @property
    def names(self) -> list[str]:
        """All columns that are read, each once."""
        return _unique([self.image, *self.ids, *self.required, *self.optional, *self.others])


def find_aliases(header: Iterable[str], wanted: Sequence[str]) -> dict[str, str]:
    """Return the wanted columns that a header has in another case or with blanks around them, by their wanted names.

    An exact name goes first; a name that fits several columns fits none.
    """
    by_folded: dict[str, list[str]] = {}
    exact = set()
    for name in header:
        exact.add(name)
        by_folded.setdefault(_folded(name), []).append(name)
    fitting = {name: by_folded.get(_folded(name), []) for name in wanted if name not in exact}
    return {name: columns[0] for name, columns in fitting.items() if len(set(columns)) == 1}


def has_column(header: Sequence[str], name: str) -> bool:
    """Return True if a header has a column, in any case and with any blanks around it."""
    return _folded(name) in map(_folded, header)


def check_columns(header: Sequence[str], columns: WantedColumns, place: str) -> None:
    """Raise TableError, naming every column that is missing, and every one that is read and occurs twice."""
    aliases = find_aliases(header, columns.names)
    needed = _unique([columns.image, *columns.required])
    missing = [name for name in needed if name not in header and name not in aliases]
    problems = [f"there is no column {name!r}{_suggestion(name, header, columns)}" for name in missing]
    read = [aliases.get(name, name) for name in _unique([*needed, *columns.optional])]
    problems += [f"the column {name!r} is in the header twice" for name in _unique(read) if header.count(name) > 1]
    if problems:
        raise TableError(f"{place}: {'; '.join(problems)} (see {columns.settings})")


def find_hints(header: Sequence[str], columns: WantedColumns) -> list[str]:
    """Return a sentence for each column that is not in a table, where another one that is not read looks like it."""
    aliases = find_aliases(header, columns.names)
    read = {aliases.get(name, name) for name in columns.names}
    unused = [name for name in header if name and name not in read]
    absent = {key: name for key, name in columns.hinted.items() if name not in header and name not in aliases}
    like = {key: looking[0] for key, name in absent.items() if (looking := _looking_like(key, name, unused))}
    return [f"the column {column!r} is not read; if you want it to be, set {key}" for key, column in like.items()]


def _looking_like(key: str, name: str, header: Sequence[str]) -> list[str]:
    """Return the columns of a header that look like the wanted one of a config key, the likeliest first."""
    plain = {column: _plain(column) for column in header}
    called = (_plain(name), *_OTHER_NAMES.get(key.rpartition(".")[2], ()))
    exact = [column for known in called for column in header if plain[column] == known]
    close = [column for column in header if SequenceMatcher(None, plain[column], called[0]).ratio() >= _CLOSE]
    return _unique([*exact, *close])


def _suggestion(name: str, header: Sequence[str], columns: WantedColumns) -> str:
    keys = [key for key, wanted in columns.hinted.items() if wanted == name]
    close = [column for key in keys for column in _looking_like(key, name, header)]
    close += get_close_matches(name, header, n=1)
    shown = ", ".join(repr(column) for column in header[:_COLUMNS_SHOWN])
    return f", did you mean {close[0]!r}?" if close and len(header) > 1 else f", only {shown}"


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _folded(name: str) -> str:
    return name.strip().casefold()


def _plain(name: str) -> str:
    return _NOT_WORDS.sub("", name).casefold()
