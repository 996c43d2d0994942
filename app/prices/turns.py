"""When a source may be asked next: one request at a time, for all processes that share a folder.

The moment at which a request last began stands in a small file, in seconds since the machine started, which no
change of the time of day moves. Nobody waits with the file locked, and the kernel lets go of it when a process
ends, however it ends: a process that is killed keeps no other one waiting. Turns have no order: with several
processes at it, one may wait for as many turns as there are others, beyond its own deadline.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

try:
    import fcntl
except ImportError:  # not every system has flock: there each process keeps the rate by itself
    fcntl = None  # type: ignore[assignment]

LENGTH = 32
"""Characters of the file that are read; it holds one number."""


@dataclass(eq=False)
class Turns:
    """Lets requests begin, one after the other.

    path: the file they are shared by; None, or one that cannot be read and written, is for this process alone.
    clock: seconds that never go back while the machine runs, alike in all processes. sleep: waits some seconds.
    """

    path: Path | None
    clock: Callable[[], float]
    sleep: Callable[[float], object]
    _last: float = field(default=-inf, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def wait(self, gap: float) -> None:
        """Return once `gap` seconds have passed since anybody's request began; the next one counts from now."""
        while (remaining := self._taken(gap)) > 0:
            self.sleep(remaining)

    def _taken(self, gap: float) -> float:
        """Take the turn and return 0, or seconds to wait before trying again, from 0 up to `gap`."""
        with self._lock, _shared(self.path) as file:
            now = self.clock()
            begun = [moment for moment in (self._last, _told(file)) if moment <= now]  # else the machine started anew
            turn = max(begun, default=-inf) + gap
            if now < turn:
                return turn - now
            self._last = now
            _tell(file, now)
            return 0.0


@contextlib.contextmanager
def _shared(path: Path | None) -> Iterator[int | None]:
    """The file, which no other process has meanwhile; None where there is none to be had."""
    with contextlib.ExitStack() as stack:
        yield _opened(path, stack) if path is not None and fcntl is not None else None


def _opened(path: Path, stack: contextlib.ExitStack) -> int | None:
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        stack.callback(os.close, file)
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:
        return None
    return file


def _told(file: int | None) -> float:
    """The moment in the file; minus infinity where it holds none."""
    try:
        return float(os.pread(file, LENGTH, 0)) if file is not None else -inf
    except (OSError, ValueError):
        return -inf


def _tell(file: int | None, moment: float) -> None:
    if file is not None:
        with contextlib.suppress(OSError):  # the disk is full: this process keeps the rate by itself
            os.pwrite(file, f"{moment!r:<{LENGTH}}".encode(), 0)
