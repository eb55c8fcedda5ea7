"""The file that was probably meant by the path of one that isn't there, for the message that says so."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from itertools import islice
from urllib.parse import unquote

_FOLDERS_REMEMBERED = 8
_MOST_NAMES = 20_000  # of a folder; in larger ones nothing is looked for
_MOST_COMPARED = 500  # letter by letter, which takes 20 us each
_CLOSE = 0.85


@dataclass(frozen=True, slots=True, kw_only=True)
class _Names:
    """The names in a folder by their keys, and by their keys without suffix."""

    by_key: Mapping[str, str]
    by_stem: Mapping[str, str]


def nearest_folder(path: str) -> tuple[str, str]:
    """Return the deepest folder on a path that exists, and the rest of the path."""
    folder, rest = os.path.split(path)
    while not os.path.isdir(folder) and os.path.dirname(folder) != folder:  # noqa: PTH112, PTH120 - as split()
        folder, name = os.path.split(folder)
        rest = f"{name}/{rest}"
    return folder, rest


def near_match(folder: str, rest: str) -> str | None:
    """Return the path below `folder` of a file that is called almost like `rest`; None where none is alike.

    Case, the form of accents, the kind of slashes, the suffix, %20 and small mistakes in the last name may differ.
    """
    parts = [part for part in rest.replace("\\", "/").split("/") if part not in {"", "."}]
    near: list[str] = []
    for place, part in enumerate(parts):
        names = _names(os.path.join(folder, *near))  # noqa: PTH118 - plain strings, whose bytes may be no text
        name = names.by_key.get(_key(part)) or names.by_key.get(_key(unquote(part)))
        if name is None and place == len(parts) - 1:
            name = _alike(_key(part), names)
        if name is None:
            return None
        near.append(name)
    match = "/".join(near)
    return match if match and match != rest else None


def _alike(key: str, names: _Names) -> str | None:
    """Return the file with the same name but for its suffix, or else with a name that is very close."""
    if (same := names.by_stem.get(_stem(key))) is not None:
        return same
    compared = names.by_key if len(names.by_key) <= _MOST_COMPARED else ()
    return next((names.by_key[close] for close in get_close_matches(key, compared, n=1, cutoff=_CLOSE)), None)


def _names(folder: str) -> _Names:
    """Return the names in a folder, none where it can't be read or is very large."""
    try:
        return _names_at(folder, os.stat(folder).st_mtime_ns)  # noqa: PTH116 - a plain string
    except OSError:
        return _Names(by_key={}, by_stem={})


@lru_cache(_FOLDERS_REMEMBERED)
def _names_at(folder: str, _changed: int) -> _Names:
    with os.scandir(folder) as entries:
        names = sorted((entry.name for entry in islice(entries, _MOST_NAMES + 1)), reverse=True)
    by_key = {_key(name): name for name in names} if len(names) <= _MOST_NAMES else {}
    return _Names(by_key=by_key, by_stem={_stem(key): name for key, name in by_key.items()})


def _stem(key: str) -> str:
    return os.path.splitext(key)[0]  # noqa: PTH122 - a plain string


def _key(name: str) -> str:
    """Return what is the same for names that look alike; bytes that are no UTF-8 count as Latin-1."""
    text = "".join(chr(ord(c) - 0xDC00) if "\udc80" <= c <= "\udcff" else c for c in name)
    return unicodedata.normalize("NFKC", text).strip().casefold()
