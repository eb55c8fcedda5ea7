"""Which files are pictures, by name and by content, and which are none by their names alone."""

from __future__ import annotations

import os
from collections.abc import Iterable

from pipeline.errors import LineError
from pipeline.wording import readable

HEAD_BYTES = 32
# Files that are named like pictures are listed whatever they hold: a broken one must fail by name, not vanish.
_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".avif", ".tif", ".tiff", ".bmp"}
    | {".heic", ".heif", ".jxl", ".jp2", ".svg"}
)
# What cameras write beside a JPEG or in its place. Most are TIFF files inside, whose small previews would be read.
_RAW_SUFFIXES = frozenset(
    {".3fr", ".ari", ".arw", ".bay", ".cap", ".cr2", ".cr3", ".crw", ".dcr", ".dcs", ".dng", ".drf", ".eip", ".erf"}
    | {".fff", ".gpr", ".iiq", ".k25", ".kdc", ".mdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".ptx"}
    | {".pxn", ".r3d", ".raf", ".raw", ".rw2", ".rwl", ".rwz", ".sr2", ".srf", ".srw", ".x3f"}
)
_UNFINISHED = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".download", ".filepart", ".aria2", "~")
_OF_SYSTEMS = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini"})
# Thumbnails of a Synology, archives of a Mac, waste baskets.
_FOLDERS_OF_SYSTEMS = frozenset(
    {"@eadir", "__macosx", "#recycle", "@recycle", "$recycle.bin", "lost+found", "system volume information"}
)
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")


def is_ignored_file(name: str) -> bool:
    """Return True for the name of a hidden or unfinished file, a lock of an office program, or one of a system."""
    return name.startswith((".", "~$")) or name.lower() in _OF_SYSTEMS or name.lower().endswith(_UNFINISHED)


def is_ignored_folder(name: str) -> bool:
    """Return True for the name of a hidden folder, or of one that a system keeps beside the pictures."""
    return name.startswith(".") or name.lower() in _FOLDERS_OF_SYSTEMS


def has_picture_name(name: str) -> bool:
    """Return True for the name of a picture, also in a format that is not read."""
    suffix = _suffix(name)
    return suffix in _SUFFIXES or suffix in _RAW_SUFFIXES


def developed_raws(names: Iterable[str]) -> set[str]:
    """Return the raw photographs among the files of a folder that have a picture of the same name beside them."""
    raws = [name for name in names if _suffix(name) in _RAW_SUFFIXES]
    stems = {_stem(name) for name in names if _suffix(name) in _SUFFIXES} if raws else set()
    return {name for name in raws if _stem(name) in stems}


def check_not_raw(name: str) -> None:
    """Raise LineError for the name of a raw photograph."""
    if (suffix := _suffix(name)) in _RAW_SUFFIXES:
        problem = f"{readable(name)!r} is a raw photograph ({suffix}), which is not read; export it as JPEG or TIFF"
        raise LineError("unsupported-format", problem)


def is_picture(head: bytes) -> bool:
    """Return True where a file begins like a JPEG, PNG, GIF, WebP, AVIF, TIFF or BMP."""
    return (
        head.startswith(_SIGNATURES)
        or (head.startswith(b"RIFF") and head[8:12] == b"WEBP")
        or (head[4:8] == b"ftyp" and (b"avif" in head[8:] or b"avis" in head[8:]))
        or (head.startswith(b"BM") and head[6:10] == bytes(4))
    )


def _suffix(name: str) -> str:
    """Return what follows the last dot, with it, in lower case; os.path.splitext takes three times as long."""
    return name[name.rfind(".") :].lower()


def _stem(name: str) -> str:
    return os.path.splitext(name)[0].lower()  # noqa: PTH122 - a plain string
