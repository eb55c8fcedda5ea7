"""The keys by which rows are known from run to run; pipeline/state/ledger.py says what each one stands for."""

from __future__ import annotations

from hashlib import blake2b

import orjson

from pipeline.records import ArchiveMember, CloudFile, Failure, LocalFile, Row, image_name
from pipeline.state.checkpoints import file_stamp


def row_key(row_id: str) -> bytes:
    """Return the row key of a row with this id."""
    return blake2b(row_id.encode(), digest_size=16, person=b"id").digest()


def line_key(item: Row | Failure) -> bytes:
    """Return the row key of a line that can't have that of its id: it has none, or an earlier line has the same."""
    code = item.code if isinstance(item, Failure) else ""
    return blake2b(f"{item.line} {code}".encode(), digest_size=16, person=b"line").digest()


def item_key(item: Row | Failure) -> bytes:
    """Return the row key of a line of the manifest."""
    return line_key(item) if item.id is None else row_key(item.id)


def content_key(item: Row | Failure, settings: bytes) -> bytes:
    """Return the content key of a line; `settings` stands for all that is asked beside the row."""
    if isinstance(item, Failure):
        return _digest(orjson.dumps([item.message, item.image]))
    fields = [image_name(item.image), item.crop, item.query, item.site, item.market, dict(item.carry)]
    return _digest(orjson.dumps(fields), settings)


def cache_key(item: Row | Failure, source_sha256: str, settings: bytes) -> bytes:
    """Return the cache key of a line whose picture has this hash: equal for equal questions, whatever the ids."""
    asked = [item.crop, item.query, item.site, item.market] if isinstance(item, Row) else []
    return _digest(orjson.dumps([source_sha256, *asked]), settings)


def local_picture(item: Row | Failure) -> LocalFile | None:
    """Return a line's local picture, None where it has none."""
    return item.image if isinstance(item, Row) and isinstance(item.image, LocalFile) else None


def picture_stamp(item: Row | Failure) -> bytes:
    """Return the stamp of a line's picture on disk, in an archive or in the cloud, nothing where it has none."""
    match item:
        case Row(image=LocalFile(path=path)):
            return file_stamp(path)
        case Row(image=ArchiveMember(stamp=stamp) | CloudFile(stamp=stamp)):
            return stamp
    return b""


def _digest(content: bytes, key: bytes = b"") -> bytes:
    return blake2b(content, digest_size=16, key=key).digest()
