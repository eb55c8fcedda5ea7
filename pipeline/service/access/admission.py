"""Admits requests, or connections, up to a limit that their callers share; the newest replaces one that only waits."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from pipeline.service.access.fair_share import FairShare


class Admission:
    """One admitted request or connection; `replace` is called when another one takes its place.

    It can be replaced while `is_waiting`: for its client to send something. `since` is when that began.
    """

    def __init__(self, caller: str) -> None:
        self.caller = caller
        self.since = anyio.current_time()
        self.is_waiting = True
        self.replace: Callable[[], None] = lambda: None


class AdmissionPool:
    """At most `capacity` admissions at a time; each caller has a fair share of them.

    One that has waited for less than `min_seconds` isn't replaced: it may just be about to go on.

    A caller with its share in use gets another admission if its oldest one that waits can be replaced: those who send
    half of a request and stop keep out nobody, not even others at the same address.
    """

    def __init__(self, capacity: int, min_seconds: float) -> None:
        self._min_seconds = min_seconds
        self._share = FairShare(capacity)
        self._admitted: set[Admission] = set()
        self._left = anyio.Event()

    def __len__(self) -> int:
        """Return the number of admissions."""
        return len(self._admitted)

    def __contains__(self, admission: Admission) -> bool:
        """Return True if an admission has its place, and was not replaced."""
        return admission in self._admitted

    def admit(self, caller: str) -> Admission | None:
        """Return an admission for a caller; None if there is no place for it."""
        while not self._share.take(caller):
            if not self.replace_oldest(caller if self._share.held_by(caller) else None):
                return None
        admission = Admission(caller)
        self._admitted.add(admission)
        return admission

    def replace_oldest(self, caller: str | None = None) -> bool:
        """End the admission, of a caller or of all, that has waited longest; return False if there is none."""
        waiting = (each for each in self._admitted if each.is_waiting and caller in {None, each.caller})
        oldest = min(waiting, key=lambda each: each.since, default=None)
        if oldest is None or anyio.current_time() - oldest.since < self._min_seconds:
            return False
        self.leave(oldest)
        oldest.replace()
        return True

    def leave(self, admission: Admission) -> None:
        """Give back the place of an admission; one that was replaced has none."""
        if admission in self._admitted:
            self._admitted.discard(admission)
            self._share.give_back(admission.caller)
            self._left.set()
            self._left = anyio.Event()

    async def wait_until_empty(self, seconds: float) -> None:
        """Wait at most `seconds` until nothing is admitted."""
        with anyio.move_on_after(seconds):
            while self._admitted:
                await self._left.wait()
