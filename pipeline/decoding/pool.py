"""The decoder processes of one parent, each kept for the next picture."""

from __future__ import annotations

import threading

from pipeline.decoding.process import DecoderProcess

# For a process to end by itself, before it is killed.
END_SECONDS = 5.0


class PoolClosed(Exception):
    """No more processes are given out."""


class ProcessPool:
    """Processes that run the same program; safe to share between threads.

    A process that is taken must be given back, or ended. A new process gets the messages `greeting` first.
    """

    def __init__(self, program: str, *greeting: bytes) -> None:
        self._program, self._greeting = program, greeting
        self._idle: list[DecoderProcess] = []
        self._all: set[DecoderProcess] = set()
        self._lock = threading.Lock()
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """True after close()."""
        return self._is_closed

    def take_idle(self) -> DecoderProcess | None:
        """Return a process that waits for work, without blocking; None if there is none."""
        with self._lock:
            while self._idle:
                process = self._idle.pop()
                if process.is_alive:
                    return process
                self._all.discard(process)
                process.end()
        return None

    def start(self) -> DecoderProcess:
        """Return a new process; raises OSError if the system has none to give, ProcessDied, PoolClosed."""
        with self._lock:
            if self._is_closed:
                raise PoolClosed
            process = DecoderProcess(self._program)
            self._all.add(process)
        process.send(*self._greeting)
        return process

    def give_back(self, process: DecoderProcess) -> None:
        """Keep a process for the next picture."""
        with self._lock:
            if not self._is_closed:
                self._idle.append(process)
                return
        self.end(process)

    def end(self, process: DecoderProcess, patience: float = 0.0) -> int:
        """End a process that was taken, see DecoderProcess.end()."""
        code = process.end(patience)
        with self._lock:
            self._all.discard(process)
        return code

    def close(self) -> None:
        """End all processes: idle ones in their own time, others at once."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
            self._all.difference_update(idle)
            for busy in self._all:
                busy.kill()
        for process in idle:
            process.end(END_SECONDS)
