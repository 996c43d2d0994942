"""What a fetch adds to what was known, and what is known at a moment.

A row is one symbol on one date and holds three statements: the bar, the dividend and the split. A
fetch states all three for each of its rows with a close; a row without one states the actions it has.
Written down is only what differs from what was known at the fetch's own moment; `coverage` remembers
that the rest was confirmed.

An action on a day without a bar stays on its own day in the file, so that whatever is told later can
supersede it, and is carried to the next bar on reading. The next newer fetch with rows around that
day that says nothing of it takes it back.
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
    """Store what one fetch told about one symbol; returns how many rows were new, revised, unchanged.

    Args:
        told: rows sorted by date, each with a close or with an action.
    """
    dates, values = told["date"].to_numpy().astype("datetime64[D]"), told[list(PRICE_FIELDS)].to_numpy()
    before = np.where(ranks < ranks[fetch], ranks, -1)
    known_dates, known_values = known(connection, before, symbol, (str(dates[0]), str(dates[-1])))
    if ranks[fetch] == ranks.max():
        _take_back(connection, fetch, symbol, known_dates[_bare(known_values) & ~np.isin(known_dates, dates)])
    row_known, closed = np.isin(dates, known_dates), ~_bare(values)
    base = np.tile(UNTOLD, (len(dates), 1))
    base[row_known] = known_values[np.searchsorted(known_dates, dates[row_known])]
    differs = _differs(values, base)
    stated = differs.copy()
    stated[:, 1:] |= _acts(values) & ~closed[:, None]  # `coverage` does not remember rows without a close
    _insert(connection, fetch, symbol, dates, values, stated)
    again = stated & np.column_stack([~_bare(base), np.ones((len(dates), len(ACTIONS)), bool)])
    for later, covered in _later_coverage(connection, ranks, fetch, symbol):
        repeated = again & np.isin(dates, covered)[:, None]
        _insert(connection, later, symbol, dates, base, repeated)
        again &= ~repeated
    if closed.any():
        first = dates[closed][0]
        connection.execute(
            "INSERT INTO coverage VALUES (?, ?, ?, ?)", (symbol, fetch, str(first), _bits(dates[closed]))
        )
    revised = row_known & differs.any(axis=1)
    return np.array([(~row_known).sum(), revised.sum(), (row_known & ~revised).sum()])


def view(
    connection: Connection, ranks: np.ndarray, symbol: str, bounds: tuple[str, str]
) -> tuple[np.ndarray, np.ndarray]:
    """(dates in order, (dates, fields)): what `known` tells, actions without a bar carried to the next bar.

    Dividends on one bar add up, splits multiply. What no bar follows is left out.
    """
    dates, values = known(connection, ranks, symbol, ("0001-01-01", bounds[1]))
    bare = _bare(values)
    bars, told, onto = values[~bare], values[bare], np.searchsorted(dates[~bare], dates[bare])
    arrived = onto < len(bars)
    np.add.at(bars[:, len(BARS)], onto[arrived], told[arrived, len(BARS)])
    np.multiply.at(bars[:, len(BARS) + 1], onto[arrived], told[arrived, len(BARS) + 1])
    wanted = dates[~bare] >= np.datetime64(bounds[0])
    return dates[~bare][wanted], bars[wanted]


def known(
    connection: Connection, ranks: np.ndarray, symbol: str, bounds: tuple[str, str]
) -> tuple[np.ndarray, np.ndarray]:
    """(dates in order, (dates, fields)): the newest word on each row among the fetches of rank 0 and up.

    A day with an action and without a bar is a row without prices.
    """
    where = "WHERE symbol = ? AND date BETWEEN ? AND ? ORDER BY date"
    asked = (symbol, *bounds)
    bars = connection.execute(f"SELECT date, fetch_id, open, high, low, close, volume FROM bar {where}", asked)
    bar_dates, bar_values = _newest(bars.fetchall(), ranks, len(BARS))
    actions = connection.execute(f"SELECT date, fetch_id, value, kind FROM action {where}", asked).fetchall()
    told = [_newest([row[:3] for row in actions if row[3] == kind], ranks, 1) for kind in ACTIONS]
    acting = [days[kind[:, 0] != none] for (days, kind), none in zip(told, UNTOLD[len(BARS) :], strict=True)]
    dates = np.unique(np.concatenate([bar_dates, *acting]))
    values = np.tile(UNTOLD, (len(dates), 1))
    values[np.searchsorted(dates, bar_dates), : len(BARS)] = bar_values
    for column, (days, kind) in enumerate(told, start=len(BARS)):
        here = np.isin(days, dates)
        values[np.searchsorted(dates, days[here]), column] = kind[here, 0]
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


def covered_until(connection: Connection, symbol: str, fetch: int) -> str:
    """ISO date of the last day for which a fetch was believed; "" where it was not."""
    row = connection.execute(
        "SELECT first, days FROM coverage WHERE symbol = ? AND fetch_id = ?", (symbol, fetch)
    ).fetchone()
    return str(np.datetime64(row[0], "D") + _offsets(row[1])[-1]) if row else ""


def _bare(values: np.ndarray) -> np.ndarray:
    """(rows,) which rows have no close."""
    return np.isnan(values[:, BARS.index("close")])


def _differs(values: np.ndarray, base: np.ndarray) -> np.ndarray:
    """(rows, bar and each action) which statements are not what is known; without a close only actions are stated."""
    differs = ~np.isclose(values, base, rtol=TOLERANCE, atol=0.0, equal_nan=True)
    bar = ~_bare(values) & (_bare(base) | differs[:, : len(BARS)].any(axis=1))
    return np.column_stack([bar, differs[:, len(BARS) :] & (_acts(values) | ~_bare(values)[:, None])])


def _acts(values: np.ndarray) -> np.ndarray:
    """(rows, actions) whether there is one."""
    return values[:, len(BARS) :] != UNTOLD[len(BARS) :]


def _take_back(connection: Connection, fetch: int, symbol: str, days: np.ndarray) -> None:
    """State that there is no action on some days."""
    _insert(
        connection,
        fetch=fetch,
        symbol=symbol,
        dates=days,
        values=np.tile(UNTOLD, (len(days), 1)),
        stated=np.tile([False, True, True], (len(days), 1)),
    )


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
