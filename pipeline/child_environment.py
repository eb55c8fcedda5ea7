"""The environment of child processes: what they need to run, and none of the secrets in it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

# Where programs, libraries and files are, which language and time zone hold, how many threads libraries start.
_NEEDED = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|TERM|TZ|LANG|LANGUAGE|LC_[A-Z]+|TMPDIR|TEMP|TMP|XDG_[A-Z_]+|VIRTUAL_ENV"
    r"|PYTHON[A-Z0-9]+|(?:DY)?LD_[A-Z_]+|MALLOC_[A-Z_]+|(?:OMP|MKL|OPENBLAS|ORT)_[A-Z_]+|SYSTEMROOT|WINDIR"
)
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL|AUTH")


def child_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables that a child process gets: an allow-list, without names that are those of secrets.

    It is an allow-list because keys, also those of other programs, may be in variables of any name.
    """
    return {name: value for name, value in environ.items() if _NEEDED.fullmatch(name) and not _SECRET.search(name)}
