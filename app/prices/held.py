"""Quarantine in the ledger: rows that were told and not believed, and how each was settled.

A held row is stored beside its fetch and never becomes part of the prices. When a later fetch tells
the same, that fetch's own row is stored; when it tells something else, the held row is dropped. Either
way a release is noted, and the held row stays on record.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from app.prices.database import Connection
from app.prices.quarantine import Doubt, Rows, is_agreed
from app.prices.revisions import covered_until
from app.schema import PRICE_FIELDS

COLUMNS = ("source", "symbol", "date", "rule", "reason", "close", "split", "fetched_at")
OPEN = """FROM quarantine AS q JOIN fetch AS f ON f.id = q.fetch_id
    WHERE f.source = ? AND NOT EXISTS (SELECT 1 FROM release AS r
        WHERE r.symbol = q.symbol AND r.date = q.date AND r.fetch_id = q.fetch_id)"""


@dataclass(frozen=True, eq=False)
class Held:
    """A row in quarantine: which fetch told it, when, up to which day it was believed, and (fields,) its values."""

    day: str
    fetch: int
    fetched_at: str
    covered: str
    values: np.ndarray


def open_rows(connection: Connection, source: str, symbol: str) -> dict[str, Held]:
    """ISO day → the row of a symbol that is in quarantine."""
    fields = ", ".join(f"q.{name}" for name in PRICE_FIELDS)
    query = f"SELECT q.date, q.fetch_id, f.fetched_at, {fields} {OPEN} AND q.symbol = ? ORDER BY q.fetch_id"
    rows = connection.execute(query, (source, symbol)).fetchall()
    covered = {fetch: covered_until(connection, symbol, fetch) for fetch in {row[1] for row in rows}}
    return {
        day: Held(day, fetch, fetched_at, covered[fetch], np.array(values, float))
        for day, fetch, fetched_at, *values in rows
    }


def listed(connection: Connection, source: str | None) -> list[tuple]:
    """Everything in quarantine, of one source or of all (None), as rows of `COLUMNS`, by symbol and date."""
    fields = ", ".join(f"{'f' if name in ('source', 'fetched_at') else 'q'}.{name}" for name in COLUMNS)
    every = OPEN.replace("f.source = ?", "coalesce(f.source = ?, TRUE)")
    return connection.execute(f"SELECT {fields} {every} ORDER BY f.source, q.symbol, q.date", (source,)).fetchall()


def count_open(connection: Connection, source: str) -> int:
    """How many rows of a source are in quarantine."""
    return int(connection.execute(f"SELECT count(*) {OPEN}", (source,)).fetchone()[0])


def oldest_open(connection: Connection, source: str) -> dict[str, str]:
    """Symbol → ISO day of its oldest row in quarantine."""
    return dict(connection.execute(f"SELECT q.symbol, min(q.date) {OPEN} GROUP BY q.symbol", (source,)).fetchall())


def told_again(held: dict[str, Held], told: Rows, at: str, agree_after_h: float) -> np.ndarray:
    """(told,) whether an earlier fetch told the same row, long enough ago, or a session ago."""
    again, wait = np.zeros(len(told), bool), dt.timedelta(hours=agree_after_h)
    newest = {row.fetch: day for day, row in sorted(held.items())}
    for row, day in enumerate(told.dates.astype(str).tolist()):
        before = held.get(day)
        if before and is_agreed(before.values, told.values[row]):
            apart = dt.datetime.fromisoformat(at) - dt.datetime.fromisoformat(before.fetched_at)
            again[row] = apart >= wait or str(told.dates[-1]) > max(newest[before.fetch], before.covered)
    return again


def hold(connection: Connection, fetch: int, symbol: str, told: Rows, doubts: dict[int, Doubt]) -> None:
    """Put rows into quarantine."""
    rows = (
        (symbol, str(told.dates[row]), fetch, doubt.rule, doubt.reason, *told.values[row].tolist())
        for row, doubt in doubts.items()
    )
    connection.executemany(f"INSERT INTO quarantine VALUES (?, ?, ?, ?, ?{', ?' * len(PRICE_FIELDS)})", rows)


def release(connection: Connection, fetch: int, symbol: str, settled: Iterable[tuple[Held, np.ndarray]]) -> int:
    """Settle rows of the quarantine by what a later fetch told of their day; returns how many it agreed with."""
    agreed = 0
    for row, values in settled:
        same = is_agreed(row.values, values)
        close, split = values[PRICE_FIELDS.index("close")], values[PRICE_FIELDS.index("split")]
        connection.execute(
            "INSERT INTO release VALUES (?, ?, ?, ?, ?, ?)",
            (symbol, row.day, row.fetch, "agreed" if same else "dropped", fetch, f"close {close:.6g}, split {split:g}"),
        )
        agreed += same
    return agreed
