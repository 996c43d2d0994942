"""The SQLite file under the ledger: what is in it, how it is opened, and its errors in our words.

Full synchronisation and a write-ahead log: what was committed survives a kill or a power cut, and
readers never wait. The tables are in `app.prices.tables`; the first writer of a newer version adds
those that an older file lacks, and until then a reader finds them empty.
"""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from app.atomic import storage_error
from app.errors import AppError, DamageError, LockError
from app.prices.tables import APPLICATION, TABLES, VERSION, upgrade_from

Connection = sqlite3.Connection

STORAGE_CODES = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EACCES,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_IOERR: errno.EIO,
}


@contextmanager
def writing(path: Path, wait_s: float) -> Iterator[sqlite3.Connection]:
    """One transaction that writes: all of it is stored, or nothing. The file is made or upgraded if need be.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
        LockError: another run has been writing for longer than `wait_s`.
        DamageError: the file is no ledger, of a newer version, or corrupt.
    """
    with _in_our_words(path, wait_s), closing(_opened(path, wait_s)) as connection:
        _check_ours(connection, path)  # before anything is changed in a file that may not be a ledger
        for setting in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {setting}")
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = _check_ours(connection, path)
            if version < VERSION:
                _upgrade(connection, version)
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


@contextmanager
def reading(path: Path, wait_s: float) -> Iterator[sqlite3.Connection | None]:
    """One consistent state of the file, or None when there is no ledger yet; nothing is made.

    Raises:
        DamageError: the file is no ledger, of a newer version, or corrupt.
    """
    if not path.exists():
        yield None
        return
    _undo_what_a_kill_left(path, wait_s)
    alone = not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists()
    address = f"{path.resolve().as_uri()}?mode=ro{'&immutable=1' if alone else ''}"
    with (
        _in_our_words(path, wait_s),
        closing(sqlite3.connect(address, uri=True, timeout=wait_s, isolation_level=None)) as connection,
    ):
        connection.execute("BEGIN")
        version = _check_ours(connection, path)
        for table in (table for table in TABLES if 0 < version < table.since):
            connection.execute(table.statement.replace("CREATE TABLE", "CREATE TEMP TABLE"))
        yield connection if version else None


@contextmanager
def kept_open(path: Path) -> Iterator[None]:
    """Keep SQLite's log in place while the block runs, for one that reads and writes a file many times.

    The last connection to leave folds the log into the file and removes it, with three waits for the disk.
    This one stays, without a transaction, so that nothing waits for it and a kill finds what it always does.
    What is wrong with the file is left to those who read it.
    """
    with ExitStack() as stack:
        if path.exists():
            with suppress(sqlite3.Error):
                connection = stack.enter_context(closing(sqlite3.connect(path, isolation_level=None)))
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        yield


def check_integrity(connection: sqlite3.Connection, path: Path) -> None:
    """Read every page, index and reference, and see that the triggers still stand guard.

    Raises:
        DamageError: with the first thing found.
    """
    found = [row[0] for row in connection.execute("PRAGMA integrity_check(1)")]
    if found != ["ok"]:
        raise _damage(path, found[0])
    orphan = connection.execute("PRAGMA foreign_key_check").fetchone()
    if orphan:
        raise _damage(path, f"a row of {orphan[0]} belongs to no {orphan[2]}")
    version = _check_ours(connection, path)
    guards = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
    missing = sorted({name for table in TABLES if table.since <= version for name in table.guards()} - guards)
    if missing:
        raise _damage(path, f"trigger {missing[0]} was removed")


def _undo_what_a_kill_left(path: Path, wait_s: float) -> None:
    """Roll back the half transaction of a process that was killed while it made the file; a reader could not.

    Only then is there a journal of this kind: from its first commit on, the file keeps a write-ahead log.
    """
    if path.with_name(f"{path.name}-journal").exists() and os.access(path.parent, os.W_OK):
        with _in_our_words(path, wait_s), closing(_opened(path, wait_s)) as connection:
            _check_ours(connection, path)


def _opened(path: Path, wait_s: float) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    return sqlite3.connect(path, timeout=wait_s, isolation_level=None)


def _check_ours(connection: sqlite3.Connection, path: Path) -> int:
    """The version of a ledger of ours, 0 for a file with nothing in it; anything else is refused."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application == version == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
        return 0
    if application != APPLICATION:
        raise DamageError(f"{path}: is not a ledger of this application. Move it away or choose another STOCK_HOME.")
    if version > VERSION:
        raise DamageError(f"{path}: is of version {version}, this application knows up to {VERSION}. Update it.")
    return version


def _upgrade(connection: sqlite3.Connection, version: int) -> None:
    for statement in upgrade_from(version):
        connection.execute(statement)


@contextmanager
def _in_our_words(path: Path, wait_s: float) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise storage_error(path, error) from error
    except sqlite3.Error as error:
        raise _translated(error, path, wait_s) or error from error


def _translated(error: sqlite3.Error, path: Path, wait_s: float) -> AppError | None:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return LockError(f"{path}: another run has kept it locked for {wait_s:g} s. Let it finish and run again.")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return _damage(path, str(error))
    if code in STORAGE_CODES:
        return storage_error(path, OSError(STORAGE_CODES[code], str(error)))
    return None


def _damage(path: Path, found: str) -> DamageError:
    found = " ".join(found.split())[:120]
    return DamageError(f"{path}: the ledger is damaged ({found}). Put back a copy, or move it away and fetch again.")
