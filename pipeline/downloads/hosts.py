"""How each host of pictures is treated: few requests at a time, pauses that it asks for, patience while it is gone.

Times are seconds of the run's clock.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from anyio import Lock, Semaphore, current_time, sleep

from pipeline.downloads.errors import DownloadError

SILENCE_SECONDS: Final = 30.0  # a host that has not responded for so long is given up,
REST_SECONDS: Final = 60.0  # and tried again after so long
LONGEST_PAUSE: Final = 120.0  # no row waits longer because its host asks for it
RETRY_SHARE: Final = 0.1  # of the requests to a host, after the first RETRY_FLOOR: a failing host is not sent ever more
RETRY_FLOOR: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRules:
    """At most `in_flight` requests to a host at once, `delay` seconds between their starts.

    Waits that we choose begin with `first_wait` seconds, double, and end with `max_wait`.
    """

    in_flight: int = 8
    delay: float = 0.0
    first_wait: float = 0.5
    max_wait: float = 60.0

    def backoff(self, times: int) -> float:
        """Return the wait after so many troubles, from 1."""
        return min(self.first_wait * 2.0 ** min(times - 1, 30), self.max_wait)


@dataclass(slots=True)
class Host:
    """What is known of one host.

    `not_before` is when the next request may start, `trouble` why it is not now. Until then, requests to a host that
    `is_given_up` fail.
    `silent_since` is when the first of the requests was sent that got no response, None while the host responds;
    `silence_noted` is when that was known, and `probes` counts the requests since then. `busy_noted` is when the host
    said last that it is too busy, and `times_busy` how often, since it `sent_picture_at`.
    """

    rules: HostRules
    slots: Semaphore
    alone: Lock = field(default_factory=Lock)
    users: int = 0
    not_before: float = 0.0
    trouble: DownloadError | None = None
    is_given_up: bool = False
    silent_since: float | None = None
    silence_noted: float = 0.0
    probes: int = 0
    busy_noted: float = 0.0
    times_busy: int = 0
    sent_picture_at: float = 0.0
    requests: int = 0
    retries: int = 0

    def is_forgettable(self, now: float) -> bool:
        """Return True if nothing that matters is known of the host."""
        return not self.users and self.silent_since is None and self.not_before <= now

    async def wait(self) -> None:
        """Wait until a request may start, and let the next one wait for its delay; raises why the host is given up."""
        while (seconds := self.seconds_to_wait(current_time())) > 0:  # noqa: ASYNC110 - it may have grown meanwhile
            await sleep(seconds)
        self.requests += 1
        self.not_before = current_time() + self.rules.delay

    def seconds_to_wait(self, now: float) -> float:
        """Return the seconds until a request may start; raises DownloadError where that is too long for a row."""
        seconds = self.not_before - now
        if self.trouble is not None and (seconds > LONGEST_PAUSE or (seconds > 0 and self.is_given_up)):
            raise DownloadError(self.trouble.code, str(self.trouble), "next-run")
        return seconds

    def note_response(self) -> None:
        """Note that something came back, whatever it is."""
        self.silent_since, self.is_given_up = None, False
        self.probes = 0

    def note_picture(self, now: float) -> None:
        """Note that a picture came."""
        self.sent_picture_at = now
        self.times_busy = 0

    def note_silence(self, error: DownloadError, sent_at: float, now: float) -> None:
        """Note that a request got no response; one request at a time tries again, until the host is given up."""
        if self.silent_since is None:
            self.silent_since, self.silence_noted = sent_at, now
        elif sent_at < self.silence_noted:
            return  # it was under way already
        else:
            self.probes += 1
        silence = now - self.silent_since
        if self.probes and silence >= SILENCE_SECONDS:
            self.is_given_up = True
            self.trouble = DownloadError(error.code, f"{error}; its host has not responded for {silence:.0f} s")
            self.not_before = now + REST_SECONDS
        else:
            self.not_before = max(self.not_before, now + self.rules.backoff(self.probes + 1))

    def note_busy(self, error: DownloadError, sent_at: float, now: float) -> None:
        """Let everyone wait, as long as the host asks for."""
        if sent_at >= self.busy_noted:
            self.times_busy += 1
            self.busy_noted = now
        wait = self.rules.backoff(self.times_busy) if error.wait is None else error.wait
        self.not_before = max(self.not_before, now + wait)
        self.trouble = DownloadError(error.code, f"{error}, and asks for a wait of {wait:,.0f} s")

    def spend_retry(self) -> bool:
        """Take one attempt more from the budget of the host, if it holds one."""
        if self.retries >= RETRY_FLOOR + RETRY_SHARE * self.requests:
            return False
        self.retries += 1
        return True


class Hosts:
    """The hosts that pictures are downloaded from."""

    def __init__(self, rules: HostRules) -> None:
        self._rules = rules
        self._hosts: dict[str, Host] = {}

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[Host]:
        """Wait for a turn to send a request to a host, and hold it; raises DownloadError if the host is given up."""
        host = self._hosts.setdefault(name, Host(self._rules, Semaphore(self._rules.in_flight)))
        host.users += 1
        try:
            async with host.slots:
                if host.silent_since is not None:
                    async with host.alone:
                        await host.wait()
                        if host.silent_since is not None:
                            yield host
                            return
                else:
                    await host.wait()
                yield host
        finally:
            host.users -= 1
            if host.is_forgettable(current_time()):
                del self._hosts[name]
