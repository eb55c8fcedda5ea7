"""Draws how many rows a run finished over its time, as one inline SVG."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape

_MOST_BARS = 60
_WIDTH, _HEIGHT = 600, 120
_BAR_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)


def rate_chart(records: Mapping[int, int], failures: Mapping[int, int], started: int, ended: int) -> str:
    """Return a chart of rows by Unix time, records and failures apart; empty where the run finished none."""
    step = next((each for each in _BAR_SECONDS if (ended - started + 1) <= each * _MOST_BARS), 14_400)
    good, bad = _bars(records, started, ended, step), _bars(failures, started, ended, step)
    highest = max((good[bar] + bad[bar] for bar in {*good, *bad}), default=0)
    if not highest:
        return ""
    bars = (ended - started) // step + 1
    shapes = "".join(_shapes(bars, good, bad, highest))
    unit = "second" if step == 1 else f"{step} seconds" if step < 120 else f"{step // 60} minutes"
    label = f"Rows finished per {unit}, from {_clock(started)} to {_clock(ended)}; at most {highest}"
    return (
        f'<figure><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">{shapes}</svg><figcaption>{escape(label)}. '
        '<span class="key good">records</span> <span class="key bad">failures</span></figcaption></figure>'
    )


def _bars(moments: Mapping[int, int], started: int, ended: int, step: int) -> Counter[int]:
    bars: Counter[int] = Counter()
    for moment, count in moments.items():
        if started <= moment <= ended:
            bars[(moment - started) // step] += count
    return bars


def _shapes(bars: int, good: Counter[int], bad: Counter[int], highest: int) -> list[str]:
    """Return one rectangle for the records of a bar, and one on top of it for the failures."""
    width = _WIDTH / bars
    shapes = []
    for bar in range(bars):
        floor = float(_HEIGHT)
        for counts, name in ((good, "good"), (bad, "bad")):
            height = counts[bar] / highest * _HEIGHT
            floor -= height
            if height:
                shapes.append(
                    f'<rect class="{name}" x="{bar * width:.1f}" y="{floor:.1f}" '
                    f'width="{max(width - 1, 1):.1f}" height="{height:.1f}"/>'
                )
    return shapes


def _clock(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%H:%M:%S UTC")
