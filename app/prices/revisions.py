"""What a fetch adds to what was known, and what is known at a moment.

A row is one symbol on one date and holds three statements: the bar, the dividend and the split. A
fetch states all three for each of its rows. Written down is only what differs from what was known at
the fetch's own moment; `coverage` remembers that the rest was confirmed.
"""

import numpy as np
import pandas as pd

from app.prices.database import Connection
from app.schema import PRICE_FIELDS

TOLERANCE = 1e-5
"""Relative. Yahoo's answers to one question differ by about 1e-7; a revision that matters is larger."""

BARS, ACTIONS = PRICE_FIELDS[:5], PRICE_FIELDS[5:]
UNTOLD = np.array([np.nan] * len(BARS) + [0.0, 1.0])
"""What is known of a row that nobody has told: no bar, no dividend, no split."""

INSERT_BAR = """INSERT INTO bar (symbol, date, fetch_id, open, high, low, close, volume)
    SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8
    WHERE NOT EXISTS (SELECT 1 FROM bar WHERE symbol = ?1 AND date = ?2 AND fetch_id = ?3)"""
INSERT_ACTION = """INSERT INTO action (symbol, date, fetch_id, kind, value) SELECT ?1, ?2, ?3, ?4, ?5
    WHERE NOT EXISTS (SELECT 1 FROM action WHERE symbol = ?1 AND date = ?2 AND kind = ?4 AND fetch_id = ?3)"""


def append(connection: Connection, ranks: np.ndarray, fetch: int, symbol: str, told: pd.DataFrame) -> np.ndarray:
    """Store what one fetch told about one symbol; returns how many rows were new, revised, unchanged."""
    dates, values = told["date"].to_numpy().astype("datetime64[D]"), told[list(PRICE_FIELDS)].to_numpy()
    before = np.where(ranks < ranks[fetch], ranks, -1)
    known_dates, known_values = view(connection, before, symbol, (str(dates[0]), str(dates[-1])))
    known = np.isin(dates, known_dates)
    base = np.tile(UNTOLD, (len(dates), 1))
    base[known] = known_values[np.searchsorted(known_dates, dates[known])]
    differs = ~np.isclose(values, base, rtol=TOLERANCE, atol=0.0, equal_nan=True)
    stated = np.column_stack([~known | differs[:, : len(BARS)].any(axis=1), differs[:, len(BARS) :]])
    _insert(connection, fetch, symbol, dates, values, stated)
    again = stated & np.column_stack([known, np.ones((len(dates), len(ACTIONS)), bool)])
    for later, covered in _later_coverage(connection, ranks, fetch, symbol):
        repeated = again & np.isin(dates, covered)[:, None]
        _insert(connection, later, symbol, dates, base, repeated)
        again &= ~repeated
    connection.execute("INSERT INTO coverage VALUES (?, ?, ?, ?)", (symbol, fetch, str(dates[0]), _bits(dates)))
    revised = known & differs.any(axis=1)
    return np.array([(~known).sum(), revised.sum(), (known & ~revised).sum()])


def view(
    connection: Connection, ranks: np.ndarray, symbol: str, bounds: tuple[str, str]
) -> tuple[np.ndarray, np.ndarray]:
    """(dates in order, (dates, fields)): the newest word on each row among the fetches of rank 0 and up."""
    where = "WHERE symbol = ? AND date BETWEEN ? AND ? ORDER BY date"
    asked = (symbol, *bounds)
    bars = connection.execute(f"SELECT date, fetch_id, open, high, low, close, volume FROM bar {where}", asked)
    dates, bar_values = _newest(bars.fetchall(), ranks, len(BARS))
    values = np.tile(UNTOLD, (len(dates), 1))
    values[:, : len(BARS)] = bar_values
    actions = connection.execute(f"SELECT date, fetch_id, value, kind FROM action {where}", asked).fetchall()
    for column, kind in enumerate(ACTIONS, start=len(BARS)):
        days, told = _newest([row[:3] for row in actions if row[3] == kind], ranks, 1)
        values[np.searchsorted(dates, days), column] = told[:, 0]
    return dates, values


def ranks(connection: Connection, source: str, as_of: str | None = None) -> np.ndarray:
    """(newest id + 1,) the place of each fetch of the source in time; -1 for the others and for what came later."""
    fetches = connection.execute("SELECT id, source, fetched_at FROM fetch ORDER BY fetched_at, id").fetchall()
    rank = np.full(max((row[0] for row in fetches), default=0) + 1, -1)
    ours = [row[0] for row in fetches if row[1] == source and (as_of is None or row[2] <= as_of)]
    rank[np.array(ours, int)] = np.arange(len(ours))
    return rank


def symbols_told(connection: Connection, source: str) -> tuple[str, ...]:
    """The symbols of every fetch of a source, sorted."""
    query = (
        "SELECT DISTINCT symbol FROM coverage WHERE fetch_id IN (SELECT id FROM fetch WHERE source = ?) ORDER BY symbol"
    )
    return tuple(row[0] for row in connection.execute(query, (source,)))


def _insert(
    connection: Connection, fetch: int, symbol: str, dates: np.ndarray, values: np.ndarray, stated: np.ndarray
) -> None:
    """Insert the bars and actions that `stated` (rows, bar and each action) marks and the fetch did not state yet."""
    days = dates.astype(str).tolist()
    marked = np.flatnonzero(stated[:, 0])
    bars = values[marked, : len(BARS)].tolist()
    connection.executemany(
        INSERT_BAR, ((symbol, days[row], fetch, *bar) for row, bar in zip(marked.tolist(), bars, strict=True))
    )
    for column, kind in enumerate(ACTIONS, start=1):
        changed = np.flatnonzero(stated[:, column])
        told = values[changed, len(BARS) + column - 1].tolist()
        connection.executemany(
            INSERT_ACTION,
            ((symbol, days[row], fetch, kind, value) for row, value in zip(changed.tolist(), told, strict=True)),
        )


def _later_coverage(connection: Connection, ranks: np.ndarray, fetch: int, symbol: str) -> list[tuple[int, np.ndarray]]:
    """(fetch, its dates) of every fetch of the same source that is newer although it was stored before.

    Where such a fetch confirmed a row, it stored nothing. Once an older fetch says something else
    about that row, the confirmation must be written out, or the older word would seem to be the last.
    """
    if ranks[fetch] == ranks.max():
        return []
    rows = connection.execute("SELECT fetch_id, first, days FROM coverage WHERE symbol = ?", (symbol,)).fetchall()
    newer = sorted((row for row in rows if ranks[row[0]] > ranks[fetch]), key=lambda row: ranks[row[0]])
    return [(later, np.datetime64(first, "D") + _offsets(bits)) for later, first, bits in newer]


def _newest(rows: list[tuple], ranks: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(dates, values) of the row of highest rank for each date, of rows (date, fetch, value, …) sorted by date."""
    dates = np.array([row[0] for row in rows], "datetime64[D]")
    rank = ranks[np.array([row[1] for row in rows], int)]
    values = np.array([row[2:] for row in rows], float).reshape(len(rows), width)
    order = np.lexsort((rank, dates))
    order = order[rank[order] >= 0]
    dates = dates[order]
    last = np.append(dates[1:] != dates[:-1], True)[: len(dates)]
    return dates[last], values[order][last]


def _bits(dates: np.ndarray) -> bytes:
    marks = np.zeros(int((dates[-1] - dates[0]).astype(int)) + 1, bool)
    marks[(dates - dates[0]).astype(int)] = True
    return np.packbits(marks).tobytes()


def _offsets(bits: bytes) -> np.ndarray:
    return np.flatnonzero(np.unpackbits(np.frombuffer(bits, np.uint8)))
