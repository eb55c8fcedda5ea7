"""Files whose text is a setting: read together with the config, so that a change of the text is one of the config."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, Field

_MOST_BYTES: Final = 1_000_000


def read_text(path: str) -> str:
    """Return the text of the file that a setting names, nothing where it names none; raises ValueError."""
    if not path:
        return ""
    try:
        with Path(path).expanduser().open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "its name is no path"
        raise ValueError(f"can't be read ({reason}); give the path of a file") from None
    if len(data) > _MOST_BYTES:
        raise ValueError(f"is a file of more than {_MOST_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise ValueError("is no text in UTF-8") from None
    if not text:
        raise ValueError("is an empty file")
    return text


# Given as a path, kept as the text of that file.
TextOfFile = Annotated[str, Field(max_length=4096), AfterValidator(read_text)]
