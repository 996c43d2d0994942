"""Where prices come from: one protocol, and the sources that need no network.

Yahoo is in `app.prices.yahoo`, behind the same protocol. How a file is read is in `app.prices.files`.
"""

import re
from typing import Protocol

import numpy as np
import pandas as pd

from app.errors import SettingsError
from app.schema import prices_table

SYMBOL = re.compile(r"[A-Za-z0-9^][A-Za-z0-9.^=\-]{0,31}")


class Source(Protocol):
    """Anything that can tell the prices of a symbol as traded."""

    name: str
    """The name under which the ledger keeps what it tells: "sample", "yahoo", "import"."""

    def symbols(self) -> tuple[str, ...]:
        """The symbols it holds; () when they cannot be listed."""

    def history(
        self, symbol: str, start: np.datetime64 | None = None, stop: np.datetime64 | None = None
    ) -> pd.DataFrame:
        """A price table of one symbol, as traded, from `start` to `stop`, both included."""


def check_symbol(symbol: str) -> str:
    """Return the symbol if it is spelt like one, so that it is safe in file names and requests.

    Raises:
        SettingsError: it is not.
    """
    if not isinstance(symbol, str) or not SYMBOL.fullmatch(symbol) or ".." in symbol:
        raise SettingsError(
            f"symbol {str(symbol)[:40]!r} is not allowed: use 1 to 32 letters, digits and . ^ = -, "
            "starting with a letter, a digit or ^, and no '..', as in BRK-B, ^GSPC or 0700.HK."
        )
    return symbol


class Sample:
    """Real daily bars of the S&P 500 (^GSPC) and the NASDAQ Composite (^IXIC), 1999 to 2018.

    They come with the arch package and are read through it. Indices pay no dividend and never split.
    """

    name = "sample"

    def symbols(self) -> tuple[str, ...]:
        """The two indices."""
        return ("^GSPC", "^IXIC")

    def history(
        self, symbol: str, start: np.datetime64 | None = None, stop: np.datetime64 | None = None
    ) -> pd.DataFrame:
        """A price table of one index in time order.

        Raises:
            SettingsError: the sample does not hold the symbol.
        """
        from arch.data import nasdaq, sp500  # costs two seconds: only when the sample is read

        if symbol not in self.symbols():
            raise SettingsError(f"the sample holds {list(self.symbols())}, not {symbol!r}.")
        bars = {"^GSPC": sp500, "^IXIC": nasdaq}[symbol].load().rename(columns=str.lower)
        table = prices_table(bars.reset_index(names="date").assign(symbol=symbol))
        return between(table, start, stop)


def between(table: pd.DataFrame, start: np.datetime64 | None, stop: np.datetime64 | None) -> pd.DataFrame:
    """The rows from `start` to `stop`, both included; None is no bound."""
    kept = np.ones(len(table), bool)
    if start is not None:
        kept &= (table["date"] >= pd.Timestamp(start)).to_numpy()
    if stop is not None:
        kept &= (table["date"] <= pd.Timestamp(stop)).to_numpy()
    return table[kept].reset_index(drop=True)
