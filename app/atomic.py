"""Files that are either whole or not there: written aside, flushed to disk, renamed."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

from app.errors import SettingsError, StorageError

MARKS = frozenset({"verdict.json", "inspection.html"})
"""Files by any of which a folder is known to hold results of ours."""


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
    return _publish_folder(Path(folder), write, lambda draft: os.rename(draft, folder))


def replace_folder(folder: Path, write: Callable[[Path], object], ours: Collection[str]) -> Path:
    """Let `write` fill a folder under a temporary name, then put it in the place of `folder`, old or new.

    A reader sees the old folder, for an instant none, or the new one: never a part or a mixture. Of the old one,
    what is named in `ours` goes and every other file is kept. Where a run is killed in that instant, the old
    folder is left beside as .replaced-….

    Raises:
        SettingsError: `ensure_replaceable` refuses the folder.
        StorageError: it cannot be written, or the disk is full.
    """
    folder = ensure_replaceable(folder, ours)

    def swap(draft: Path) -> None:
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            if path.name not in ours:
                shutil.copy2(path, draft / path.name, follow_symlinks=False)
        retired = Path(tempfile.mkdtemp(prefix=".replaced-", dir=folder.parent))
        os.rename(folder, retired / folder.name)
        try:
            os.rename(draft, folder)
        except OSError:
            os.rename(retired / folder.name, folder)
            raise
        shutil.rmtree(retired, ignore_errors=True)

    return _publish_folder(folder, write, swap)


def ensure_replaceable(folder: Path, ours: Collection[str]) -> Path:
    """The folder, links followed, if results may be put in its place without the loss of what others made.

    It is new or empty; or it holds one of `MARKS`, as that of an earlier run does, and besides ours only files; or it
    holds only files, none with a name of ours.

    Raises:
        SettingsError: it is none of these, or cannot be moved, as it is a mount point or the current folder.
        StorageError: nothing can be written beside it.
    """
    folder = Path(folder).resolve()
    ensure_writable(folder.parent)
    if not folder.is_dir():
        ensure_writable(folder)
        return folder
    if folder.is_mount() or folder.samefile(Path.cwd()):
        raise SettingsError(f"{folder} is a mount point or the current folder: name a folder in it for the results.")
    there = {path.name: path for path in folder.iterdir()}
    known = set(ours) if MARKS & set(there) else set()
    for name, path in sorted(there.items()):
        if name not in known and (name in ours or (path.is_dir() and not path.is_symlink())):
            raise SettingsError(f"{folder} holds {name!r}, which no run wrote: name another folder for the results.")
    return folder


def _publish_folder(folder: Path, write: Callable[[Path], object], place: Callable[[Path], object]) -> Path:
    """Fill a folder aside, flush all of it to disk, and let `place` bring it to where it belongs."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder.parent))
        try:
            draft = aside / folder.name
            draft.mkdir()
            write(draft)
            for path in [*draft.rglob("*"), draft]:
                _flush(path)
            place(draft)
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
