"""Reads changes.jsonl, as far as its lines are committed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline.changes.change import Change, decode
from pipeline.errors import OutputError


def read_changes(path: Path, *, start: int = 0, end: int | None = None) -> Iterator[Change]:
    """Yield the changes between two places of the file, in bytes, `end` for all; nothing where there is no file.

    Raises OutputError where a line is none that was written.
    """
    try:
        with path.open("rb") as file:
            file.seek(start)
            while (end is None or file.tell() < end) and (line := file.readline()).endswith(b"\n"):
                yield decode(line)
    except FileNotFoundError:
        return
    except OSError as exc:
        raise OutputError(f"{path} can't be read ({exc.strerror}); fix that and try again") from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise OutputError(f"{path} holds a line that is no change (was it edited?); move the file away") from exc
