"""A file that appears whole under its name, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import OutputError
from pipeline.guards.private_files import remove, sync


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give a path to write to, and put what is there in the place of `path` at the end; raises OutputError."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        yield temporary
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    except OSError as exc:
        remove(temporary)
        raise OutputError(
            f"{path} can't be written ({exc.strerror or exc}); make room or choose another place"
        ) from exc
    except BaseException:
        remove(temporary)
        raise
