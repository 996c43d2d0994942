"""Another provider of prices, as CONTRIBUTING.md asks for one: a class in a module of its own.

It publishes each symbol as lines of text, as traded: date, open, high, low, close, volume, dividend, split.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from app.prices.outcomes import MalformedError, NoRowsError, UnknownSymbolError
from app.prices.sources import between
from app.schema import PRICE_FIELDS, prices_table


@dataclass
class Bulletin:
    """pages: symbol → its lines, or the error it fails with. today: what its clock says; asked: what was asked."""

    pages: dict[str, str | BaseException] = field(default_factory=dict)
    today: str = ""
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    name = "bulletin"
    version = "bulletin 1.0"

    def now(self) -> pd.Timestamp:
        """The present of the tests."""
        return pd.Timestamp(self.today, tz="UTC")

    def symbols(self) -> tuple[str, ...]:
        """It can be listed."""
        return tuple(self.pages)

    def history(
        self, symbol: str, start: np.datetime64 | None = None, stop: np.datetime64 | None = None
    ) -> pd.DataFrame:
        """A price table of one symbol, as traded."""
        self.asked.append((symbol, None if start is None else str(start)))
        page = self.pages.get(symbol)
        if page is None:
            raise UnknownSymbolError(f"the bulletin has no page {symbol!r}.")
        if isinstance(page, BaseException):
            raise page
        rows = [line.split(",") for line in page.split()]
        if any(len(row) != 8 for row in rows):
            raise MalformedError(f"{symbol}: a line of the bulletin has not 8 fields.")
        if not rows:
            raise NoRowsError(f"{symbol}: the page is empty.")
        table = pd.DataFrame(rows, columns=["date", *PRICE_FIELDS]).assign(symbol=symbol)
        return between(prices_table(table), start, stop)
