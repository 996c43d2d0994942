"""One run at a time in a home folder. Nothing slow is imported here, so that a loser leaves at once."""

import datetime as dt
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.atomic import storage_error
from app.errors import LockError


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Hold the lock of a home folder while the block runs.

    The kernel lets go of it when the process ends, however it ends: no lock is ever left behind, and
    the file that stays says nothing. Children do not inherit it.

    Raises:
        LockError: another process holds it.
        StorageError: the folder cannot be written.
    """
    path = Path(home) / "lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise storage_error(path, error) from error
    try:
        _take(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip() or "a run that has just begun"
        raise LockError(f"{path.parent}: {holder} is at work. Let it finish; this one did nothing.") from None
    except OSError as error:
        raise storage_error(path, error) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()}, since {dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M:%SZ},".encode(), 0)
