"""Permissions and links for tests: a umask, the mode of a file, and a link that another user has made."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Set the umask of this process inside."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode(path: Path) -> int:
    """Return the permissions of a file or folder."""
    return path.stat().st_mode & 0o777


def open_to_others(folder: Path) -> dict[str, str]:
    """Return what others than its owner may do anything with, in a folder and below: names and modes."""
    places = [folder, *folder.rglob("*")]
    return {str(place): oct(mode(place)) for place in places if mode(place) & 0o077}


def plant(link: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a link that belongs to another user."""
    link.symlink_to(target)
    if os.geteuid() == 0:
        os.chown(link, 4711, -1, follow_symlinks=False)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 4711)
