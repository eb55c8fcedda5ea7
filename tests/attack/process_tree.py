"""What a process and its descendants take, as Linux tells it in /proc."""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc")
_MEGABYTE = 1024 * 1024


def descendants(pid: int) -> set[int]:
    """Return the ids of a process's descendants that have not ended."""
    children: dict[int, list[int]] = {}
    for other, (state, parent) in _states().items():
        if state != "Z":
            children.setdefault(parent, []).append(other)
    below: set[int] = set()
    waiting = [pid]
    while waiting:
        own = children.get(waiting.pop(), [])
        below.update(own)
        waiting.extend(own)
    return below


def memory_mb(pids: set[int]) -> float:
    """Return the memory of processes; what several share is counted once."""
    return sum(_proportional_bytes(pid) for pid in pids) / _MEGABYTE


def threads(pid: int) -> int:
    """Return the number of a process's threads."""
    return len(os.listdir(_PROC / str(pid) / "task"))  # noqa: PTH208 - only their number counts


def processor_seconds(pids: set[int]) -> float:
    """Return the time of the processor that processes have used."""
    ticks = sum(sum(map(int, _stat(pid)[11:13])) for pid in pids)
    return ticks / os.sysconf("SC_CLK_TCK")


def _states() -> dict[int, tuple[str, int]]:
    stats = {int(path.name): _stat(int(path.name)) for path in _PROC.iterdir() if path.name.isdigit()}
    return {pid: (stat[0], int(stat[1])) for pid, stat in stats.items() if stat}


def _stat(pid: int) -> list[str]:
    """Return the fields of a process from its state on; none if it has gone."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _proportional_bytes(pid: int) -> int:
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
