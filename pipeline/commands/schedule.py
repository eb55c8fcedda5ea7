"""How many nights a number of calls takes, a run a night, within what a run, a day and a month allow. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

MOST_NIGHTS = 10_000  # where the count ends: 27 years


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """The calls that may be made, 0 for any number; `used_today` and `used_month` of them have been."""

    per_run: int = 0
    per_day: int = 0
    per_month: int = 0
    used_today: int = 0
    used_month: int = 0

    @property
    def per_night(self) -> int:
        """The most calls of a night whose day and month are fresh, 0 for any number."""
        return min((cap for cap in (self.per_run, self.per_day, self.per_month) if cap), default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nights:
    """So many runs with calls, a run a day from `today` on, the last one on `last`; `more`: the count ended there."""

    count: int
    last: date
    more: bool = False


def count_nights(calls: int, caps: Caps, today: date) -> Nights:
    """Count the nights; days on which nothing may be asked any more are waited out and not counted."""
    left, day, last, nights = calls, today, today, 0
    room_today, room_month = caps.per_day - caps.used_today, caps.per_month - caps.used_month
    while left > 0 and nights < MOST_NIGHTS:
        tonight = _least(left, (caps.per_run, caps.per_run), (caps.per_day, room_today), (caps.per_month, room_month))
        if tonight > 0:
            left, last, nights = left - tonight, day, nights + 1
        room_today, room_month = caps.per_day, room_month - tonight
        day = _next(day) if not caps.per_month or room_month > 0 else _next_month(day)
        if day.day == 1:
            room_month = caps.per_month
    return Nights(count=nights, last=last, more=left > 0)


def _least(left: int, *caps: tuple[int, int]) -> int:
    """Return the calls of one night: what is left, within the room of each cap that there is."""
    return max(0, min(left, *(room if cap else left for cap, room in caps)))


def _next(day: date) -> date:
    return day + timedelta(days=1)


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
