"""The ledger: every bar and action ever told, by whom and when, in one file that only grows.

A fetch states, for every row it holds, a bar, a dividend and a split. Stored is only what differs from
what was known at its moment, and on reading the newest fetch that states something wins. So appending
is idempotent, the order in which fetches are appended does not matter (but for actions on days without
a bar, which only a fetch stored later takes back), and what was known at any moment can be read again.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from app.errors import DataError
from app.prices import held
from app.prices.answers import note_missing
from app.prices.database import Connection, check_integrity, reading, writing
from app.prices.moments import next_moment, written
from app.prices.reception import Desk, Received
from app.prices.revisions import TOLERANCE, append, ranks, symbols_told, view
from app.prices.sources import check_symbol
from app.schema import PRICE_FIELDS, prices_table

WAIT_S = 30.0

NEWEST = """SELECT date FROM bar WHERE symbol = ? AND fetch_id IN (SELECT id FROM fetch WHERE source = ?)
    ORDER BY date DESC LIMIT 1"""


@dataclass(frozen=True)
class Appended:
    """How many (symbol, date) rows of a fetch were new, differed from what was known, or were known already."""

    new: int = 0
    revised: int = 0
    unchanged: int = 0


@dataclass(frozen=True)
class Standing:
    """Of one symbol: the newest session stored, and the oldest one in quarantine."""

    newest: np.datetime64 | None = None
    held: np.datetime64 | None = None


@dataclass(frozen=True)
class Ledger:
    """The prices told by each source; an AAPL that was imported and Yahoo's AAPL never mix.

    Args:
        path: the file; its first append makes it, reading never does.
        wait_s: how long to wait for another run that is writing, in seconds.
    """

    path: Path
    wait_s: float = WAIT_S

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))

    def append(
        self,
        table: pd.DataFrame,
        source: str,
        version: str = "",
        fetched_at: dt.datetime | str | None = None,
        note: str = "",
    ) -> Appended:
        """Store what a source told, in one transaction.

        A row without a close tells only its dividend and split, where it has any: a price once known
        is not lost to a gap. Rows told twice alike count once.

        Args:
            table: a price table, as traded, in any order.
            source: who told it: "sample", "yahoo", "import".
            version: of the library that fetched it.
            fetched_at: the moment; naive means UTC. None is now, or just after the source's newest
                fetch if the clock was set back, so that what comes later always counts as newer.
            note: anything worth keeping about the fetch.

        Raises:
            DataError: two rows of one symbol and date contradict each other.
            SettingsError: a symbol that cannot be one.
            StorageError, LockError, DamageError: as `app.prices.database.writing`.
        """
        rows = facts(table)
        with writing(self.path, self.wait_s) as connection:
            at = written(fetched_at) if fetched_at is not None else next_moment(connection, source)
            fetch = _new_fetch(connection, source, at, version, note, len(rows))
            rank = ranks(connection, source)
            counts = np.zeros(3, int)
            for symbol, told in rows.groupby("symbol"):
                counts += append(connection, rank, fetch, str(symbol), told)
        return Appended(*counts.tolist())

    def receive(
        self,
        rows: pd.DataFrame,
        source: str,
        version: str = "",
        now: pd.Timestamp | None = None,
        agree_after_h: float = 12.0,
        whole: bool = False,
    ) -> dict[str, Received]:
        """Store of an answer what can be believed beside what is known, and put the rest into quarantine.

        Args:
            rows: `facts` of one or more symbols.
            source, version: as of `append`.
            now: the moment of the answer; None is the clock's. It counts as newer than all before.
            agree_after_h: hours after which an answer can confirm what an earlier one told.
            whole: it is all the source knows of these symbols, told twice: nothing is doubted.

        Returns:
            What became of each symbol.

        Raises:
            StorageError, LockError, DamageError: as `app.prices.database.writing`.
        """
        with writing(self.path, self.wait_s) as connection:
            at = next_moment(connection, source, now)
            fetch = _new_fetch(connection, source, at, version, "whole history" if whole else "", len(rows))
            rank, received = ranks(connection, source), dict[str, Received]()
            desk = Desk(connection, rank, fetch, source, at, agree_after_h)
            for symbol, told in rows.groupby("symbol"):
                received[str(symbol)] = (desk.believe if whole else desk.receive)(str(symbol), told)
        return received

    def prices(
        self,
        source: str,
        symbols: Iterable[str] | None = None,
        start: np.datetime64 | None = None,
        stop: np.datetime64 | None = None,
        as_of: dt.date | dt.datetime | str | None = None,
    ) -> pd.DataFrame:
        """The price table a source has told, sorted by symbol and date; empty where nothing is known.

        Args:
            source: "sample", "yahoo", "import".
            symbols: which; None is all.
            start: the first date wanted; None is no bound.
            stop: the last date wanted; None is no bound.
            as_of: only what had been fetched by this moment (naive means UTC; a bare day includes
                the day). None is all that is known now.

        Raises:
            DamageError: the file is no ledger, of a newer version, or corrupt.
        """
        bounds = (_day(start, "0001-01-01"), _day(stop, "9999-12-31"))
        views: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        with reading(self.path, self.wait_s) as connection:
            if connection is not None:
                rank = ranks(connection, source, None if as_of is None else written(as_of))
                chosen = symbols_told(connection, source) if symbols is None else sorted(set(symbols))
                views = {symbol: view(connection, rank, symbol, bounds) for symbol in chosen}
        return _price_table(views)

    def quarantine(self, source: str | None = None) -> pd.DataFrame:
        """The rows that a source (None: any) told and that are not believed yet, with rule and reason."""
        with reading(self.path, self.wait_s) as connection:
            found = [] if connection is None else held.listed(connection, source)
        table = pd.DataFrame(found, columns=list(held.COLUMNS))
        return table.assign(
            date=pd.to_datetime(table["date"]), fetched_at=pd.to_datetime(table["fetched_at"], utc=True)
        )

    def quarantined(self, source: str) -> int:
        """How many rows that a source told are not believed yet."""
        with reading(self.path, self.wait_s) as connection:
            return 0 if connection is None else held.count_open(connection, source)

    def symbols(self, source: str) -> tuple[str, ...]:
        """The symbols a source has told anything about, sorted."""
        with reading(self.path, self.wait_s) as connection:
            return () if connection is None else symbols_told(connection, source)

    def newest(self, source: str, symbol: str) -> np.datetime64 | None:
        """The last day a source has told about a symbol; None when it has told nothing."""
        return self._extreme("max", source, symbol)

    def oldest(self, source: str, symbol: str) -> np.datetime64 | None:
        """The first day a source has told about a symbol; None when it has told nothing."""
        return self._extreme("min", source, symbol)

    def standing(self, source: str, symbols: Iterable[str] | None = None) -> dict[str, Standing]:
        """What is known of each symbol (None: all that the source has told), in their order."""
        with reading(self.path, self.wait_s) as connection:
            if connection is None:
                return {symbol: Standing() for symbol in symbols or ()}
            chosen = symbols_told(connection, source) if symbols is None else dict.fromkeys(symbols)
            waiting = held.oldest_open(connection, source)
            newest = {symbol: connection.execute(NEWEST, (symbol, source)).fetchone() for symbol in chosen}
        return {symbol: Standing(_date(day and day[0]), _date(waiting.get(symbol))) for symbol, day in newest.items()}

    def note_missing(self, source: str, symbol: str, detail: str, now: pd.Timestamp | None = None) -> int:
        """Note that a source says it has no such symbol; on how many days it has said so since it last told its prices.

        Args:
            now: the moment of the answer; None is the clock's.
        """
        with writing(self.path, self.wait_s) as connection:
            return note_missing(connection, source, symbol, detail, next_moment(connection, source, now))

    def fetches(self) -> pd.DataFrame:
        """Every fetch in the order of storing: id, source, fetched_at (UTC), version, note, rows."""
        names = ["id", "source", "fetched_at", "version", "note", "rows"]
        with reading(self.path, self.wait_s) as connection:
            found = [] if connection is None else connection.execute(f"SELECT {', '.join(names)} FROM fetch").fetchall()
        table = pd.DataFrame(found, columns=names)
        return table.assign(fetched_at=pd.to_datetime(table["fetched_at"], utc=True))

    def verify(self) -> None:
        """Read the whole file and check it; a ledger that does not exist yet is sound.

        Raises:
            DamageError: it is not what was written.
        """
        with reading(self.path, self.wait_s) as connection:
            if connection is not None:
                check_integrity(connection, self.path)

    def _extreme(self, function: str, source: str, symbol: str) -> np.datetime64 | None:
        query = (
            f"SELECT {function}(date) FROM bar WHERE symbol = ? AND fetch_id IN (SELECT id FROM fetch WHERE source = ?)"
        )
        with reading(self.path, self.wait_s) as connection:
            day = None if connection is None else connection.execute(query, (symbol, source)).fetchone()[0]
        return _date(day)


def facts(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a price table that tell something, a close or an action: sorted, each once.

    Raises:
        DataError: two rows of one symbol and date contradict each other, or a row has no date.
        SettingsError: a symbol that cannot be one.
    """
    rows = prices_table(table)
    if rows["date"].isna().any():
        raise DataError(f"prices: {rows['date'].isna().sum()} row(s) have no date. Give each the date of its session.")
    tells = rows["close"].notna() | (rows["dividend"] != 0) | (rows["split"] != 1)
    rows = rows[tells]
    code, symbols = pd.factorize(rows["symbol"], sort=True)
    order = np.lexsort((rows["date"].to_numpy(), code))
    rows, code = rows.iloc[order].reset_index(drop=True), code[order]
    for symbol in symbols:
        check_symbol(symbol)
    days = rows["date"].to_numpy()
    again = np.append(False, (code[1:] == code[:-1]) & (days[1:] == days[:-1]))[: len(rows)]
    values = rows[list(PRICE_FIELDS)].to_numpy()
    alike = np.isclose(values[1:], values[:-1], rtol=TOLERANCE, atol=0.0, equal_nan=True).all(axis=1)
    contrary = again & ~np.append(True, alike)[: len(rows)]
    if contrary.any():
        first = rows.iloc[int(contrary.argmax())]
        raise DataError(
            f"prices: {contrary.sum()} row(s) contradict another of their date, first {first['symbol']} "
            f"{first['date']:%Y-%m-%d} with close {first['close']:g}. Keep one row a symbol and date."
        )
    return rows[~again]


def _new_fetch(connection: Connection, *row: str | int) -> int:
    """Note a fetch (source, moment, version, note, number of rows); returns its number."""
    query = "INSERT INTO fetch (source, fetched_at, version, note, rows) VALUES (?, ?, ?, ?, ?) RETURNING id"
    return int(connection.execute(query, row).fetchone()[0])


def _price_table(views: dict[str, tuple[np.ndarray, np.ndarray]]) -> pd.DataFrame:
    lengths = [len(dates) for dates, _ in views.values()]
    dates = np.concatenate([np.array([], "datetime64[D]"), *(dates for dates, _ in views.values())])
    values = np.concatenate([np.empty((0, len(PRICE_FIELDS))), *(values for _, values in views.values())])
    table = pd.DataFrame(values, columns=list(PRICE_FIELDS))
    table.insert(0, "symbol", pd.Series(np.repeat(np.array(list(views), object), lengths), dtype="str"))
    table.insert(1, "date", dates.astype("datetime64[ns]"))
    return table


def _date(day: str | None) -> np.datetime64 | None:
    return None if day is None else np.datetime64(day, "D")


def _day(day: np.datetime64 | None, absent: str) -> str:
    return absent if day is None else str(np.datetime64(pd.Timestamp(day), "D"))
