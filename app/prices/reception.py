"""What the ledger does with an answer: store what can be believed, keep the rest apart, settle what was apart."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from app.prices import held
from app.prices.database import Connection
from app.prices.quarantine import IN_ANOTHER_UNIT, Doubt, Rows, is_agreed, judge
from app.prices.revisions import append, known
from app.schema import PRICE_FIELDS

LEAD = np.timedelta64(150, "D")
"""Known days before those told, from which the volatility of a symbol is learnt."""


@dataclass(frozen=True)
class Received:
    """What became of a symbol's rows: stored as new, stored as revised, put into quarantine, released from it.

    `whole` asks for the whole history: known rows were told in another unit, twice alike, and as these
    are only the newest of the symbol, storing them would break its series in two.
    """

    new: int = 0
    revised: int = 0
    held: int = 0
    released: int = 0
    whole: bool = False


@dataclass(frozen=True)
class Desk:
    """One fetch being received: its number and moment, and the ranks of all fetches of its source."""

    connection: Connection
    ranks: np.ndarray
    fetch: int
    source: str
    at: str
    agree_after_h: float

    def receive(self, symbol: str, table: pd.DataFrame) -> Received:
        """Store, hold or release the rows of one symbol, by what is known of it."""
        told = Rows(table["date"].to_numpy().astype("datetime64[D]"), table[list(PRICE_FIELDS)].to_numpy())
        before = self._known(symbol, told)
        apart = held.open_rows(self.connection, self.source, symbol)
        again = held.told_again(apart, told, self.at, self.agree_after_h)
        doubts = judge(before, told, again)
        if _breaks(before, told, doubts, again):
            return Received(held=len(doubts), whole=True)
        doubts = {row: doubt for row, doubt in doubts.items() if not again[row]}
        return self._file(symbol, table, told, doubts, apart)

    def believe(self, symbol: str, table: pd.DataFrame) -> Received:
        """Store the rows of one symbol without a doubt: they are its whole history, and were told before."""
        told = Rows(table["date"].to_numpy().astype("datetime64[D]"), table[list(PRICE_FIELDS)].to_numpy())
        return self._file(symbol, table, told, {}, held.open_rows(self.connection, self.source, symbol))

    def _known(self, symbol: str, told: Rows) -> Rows:
        span = (str(told.dates[0] - LEAD), str(told.dates[-1]))
        return Rows(*known(self.connection, self.ranks, symbol, span))

    def _file(
        self, symbol: str, table: pd.DataFrame, told: Rows, doubts: dict[int, Doubt], apart: dict[str, held.Held]
    ) -> Received:
        """Store the rows without a doubt, hold the others, and settle what had been held of their days."""
        believed = table.drop(index=table.index[list(doubts)])
        new, revised = (
            append(self.connection, self.ranks, self.fetch, symbol, believed)[:2] if len(believed) else (0, 0)
        )
        place = {str(day): row for row, day in enumerate(told.dates) if not np.isnan(told.values[row, 3])}
        waiting = {
            place[day]
            for day, row in apart.items()
            if place.get(day) in doubts and is_agreed(row.values, told.values[place[day]])
        }
        fresh = {row: doubt for row, doubt in doubts.items() if row not in waiting}
        settled = [
            (row, told.values[place[day]]) for day, row in apart.items() if day in place and place[day] not in waiting
        ]
        held.hold(self.connection, self.fetch, symbol, told, fresh)
        released = held.release(self.connection, self.fetch, symbol, settled)
        return Received(int(new), int(revised), len(doubts), released)


def _breaks(before: Rows, told: Rows, doubts: dict[int, Doubt], again: np.ndarray) -> bool:
    """Whether rows told again in another unit begin at the first row told, with known rows before it."""
    shared = np.flatnonzero(np.isin(told.dates, before.dates))
    if not len(shared) or not before.dates[0] < told.dates[0]:
        return False
    doubt = doubts.get(int(shared[0]))
    return doubt is not None and doubt.rule in IN_ANOTHER_UNIT and bool(again[shared[0]])
