"""Files that are either whole or not there: written aside, flushed to disk, renamed."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from app.errors import StorageError


def publish_file(path: Path, write: Callable[[Path], object]) -> Path:
    """Let `write` make a file under a temporary name in the same folder, then rename it to `path`.

    A reader sees the old file or the new one, never a part of one.

    Raises:
        StorageError: the folder cannot be written, or the disk is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".writing-", dir=path.parent))
        try:
            draft = aside / path.name
            write(draft)
            draft.chmod(0o644)
            _flush(draft)
            os.replace(draft, path)
            _flush(path.parent)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise storage_error(path, error) from error
    return path


def publish_text(path: Path, text: str) -> Path:
    """Publish a text file in UTF-8."""
    return publish_file(path, lambda draft: draft.write_text(text, encoding="utf-8"))


def publish_folder(folder: Path, write: Callable[[Path], object]) -> Path:
    """Let `write` fill a folder under a temporary name, then rename it to `folder`, which must be new.

    Raises:
        StorageError: the folder exists already, cannot be written, or the disk is full.
    """
    folder = Path(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder.parent))
        try:
            draft = aside / folder.name
            draft.mkdir()
            write(draft)
            for path in [*draft.rglob("*"), draft]:
                _flush(path)
            os.rename(draft, folder)
            _flush(folder.parent)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise storage_error(folder, error) from error
    return folder


def ensure_writable(folder: Path) -> Path:
    """Prove, before work starts, that files can be written in a folder or that it can be made; makes nothing.

    Raises:
        StorageError: they cannot.
    """
    try:
        with tempfile.TemporaryFile(dir=nearest_existing(folder)):
            pass
    except OSError as error:
        raise storage_error(folder, error) from error
    return Path(folder)


def nearest_existing(folder: Path) -> Path:
    """The folder itself if it is there, else the nearest one above it that is."""
    folder = Path(folder).absolute()
    return next(place for place in (folder, *folder.parents) if place.exists())


def storage_error(path: Path, error: OSError) -> StorageError:
    """The one line for a failed write: a full disk and a closed folder have different ways out."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StorageError(f"{path}: the disk is full ({error.strerror}). Free some space and run again.")
    return StorageError(
        f"{path}: cannot be written ({error.strerror}). Choose another folder with --out or STOCK_HOME."
    )


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
