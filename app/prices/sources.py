"""Where prices come from: one protocol, and the sources that need no network.

Yahoo is in `app.prices.yahoo`, behind the same protocol. How a file is read is in `app.prices.files`.
"""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from app.errors import DataError, SettingsError
from app.prices.files import CsvFile, Limits, ParquetFile
from app.prices.served import facts, implied_dividends
from app.schema import prices_table

CSV_ENDINGS = (".csv", ".csv.gz", ".txt", ".txt.gz", ".tsv", ".tsv.gz")
PARQUET_ENDINGS = (".parquet", ".pq")
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


class Files:
    """CSV and Parquet files: one file, or a folder of them; what is in a file is found out from its header.

    A file with a symbol column is a tidy price table, as traded. One without holds a single symbol,
    its name without the ending, in Yahoo's columns: prices in today's shares, which are brought back
    to what was traded where the file lists splits. Dividends come from their column or, where there
    is none, from Adj Close (`app.prices.served`).

    Args:
        path: a file, a folder with files, or a folder of `symbol=…` folders with Parquet.
        max_bytes: more to read in one file than this is refused.
        max_rows: more rows than this, in all, are refused.
    """

    name = "import"

    def __init__(self, path: Path, max_bytes: int = Limits.max_bytes, max_rows: int = Limits.max_rows):
        self.path = Path(path)
        self.limits = Limits(max_bytes=max_bytes, max_rows=max_rows)

    def symbols(self) -> tuple[str, ...]:
        """Every symbol it holds, sorted."""
        files = self._files()
        tidy = {symbol for name, file in files if name is None for symbol in file.load(["symbol"])["symbol"].unique()}
        return _distinct(tidy, [name for name, _ in files if name is not None], self.path)

    def history(
        self, symbol: str, start: np.datetime64 | None = None, stop: np.datetime64 | None = None
    ) -> pd.DataFrame:
        """A price table of one symbol, as traded, in the file's own order of rows."""
        return self.table([symbol], start=start, stop=stop)

    def table(
        self,
        symbols: Iterable[str] | None = None,
        start: np.datetime64 | None = None,
        stop: np.datetime64 | None = None,
    ) -> pd.DataFrame:
        """The price table of several symbols, as traded, in the files' own order of rows.

        Nothing is sorted or dropped, so that `quality` sees disorder and rows stored twice.

        Args:
            symbols: which; None is all.
            start: the first date wanted; None is no bound.
            stop: the last date wanted; None is no bound.

        Raises:
            SettingsError: the path does not exist, or a symbol asked for is not there.
            DataError: a file cannot be read as prices, is too large, or two hold the same symbol.
        """
        wanted = None if symbols is None else list(dict.fromkeys(symbols))
        if wanted == []:
            raise self._unknown([])
        files, tables, tidy = self._files(), [], set()
        for name, file in files:
            if name is None:
                tables.append(_tidy(file, wanted))
                tidy |= set(tables[-1]["symbol"].unique())
            elif wanted is None or name in wanted:
                tables.append(_single(file, name))
            self.limits.check_rows(sum(map(len, tables)), self.path)
        held = _distinct(tidy, [name for name, _ in files if name is not None], self.path)
        unknown = [symbol for symbol in wanted or () if symbol not in held]
        if unknown:
            raise self._unknown(unknown)
        return between(pd.concat(tables, ignore_index=True), start, stop)

    def _unknown(self, unknown: list[str]) -> SettingsError:
        held = self.symbols()
        asked = ", ".join(repr(symbol[:40]) for symbol in unknown[:5]) or "asked for"
        return SettingsError(
            f"{self.path}: no symbol {asked}; it holds {len(held)}, such as {list(held[:5])}. Ask for some of these."
        )

    def _files(self) -> list[tuple[str | None, CsvFile | ParquetFile]]:
        """Every price file, sorted by name, with the symbol it is named after, or None when it is tidy."""
        if self.path.is_dir() and any(folder.is_dir() for folder in self.path.glob("*=*")):
            return [(None, ParquetFile(self.path, self.limits))]
        files = []
        for path in _price_paths(self.path):
            kind = ParquetFile if _ending(path) in PARQUET_ENDINGS else CsvFile
            file = kind(path, self.limits)
            tidy = "symbol" in file.columns()
            files.append((None if tidy else path.name[: -len(_ending(path))], file))
        _distinct(set(), [name for name, _ in files if name is not None], self.path)
        return files


def _price_paths(path: Path) -> list[Path]:
    endings = ", ".join([*CSV_ENDINGS, *PARQUET_ENDINGS])
    if path.is_file():
        if not _ending(path):
            raise DataError(f"{path}: files that end in {path.suffix!r} are not read. Save it as one of {endings}.")
        return [path]
    if not path.is_dir():
        raise SettingsError(f"{path}: no such file or folder. Check the path of the prices.")
    inside = sorted(file for file in path.iterdir() if _ending(file) and file.is_file() and file.name[0] != ".")
    if not inside:
        raise DataError(f"{path}: no price files in this folder. Put files there that end in {endings}.")
    return inside


def _ending(path: Path) -> str:
    known = (ending for ending in (*CSV_ENDINGS, *PARQUET_ENDINGS) if path.name.lower().endswith(ending))
    return max(known, key=len, default="")


def _distinct(tidy: set[str], named: list[str], path: Path) -> tuple[str, ...]:
    """All the symbols, sorted, if each is one and belongs to one place (tidy files may share theirs)."""
    symbols = sorted([*tidy, *named])
    wrong = [symbol for symbol in symbols if not SYMBOL.fullmatch(symbol) or ".." in symbol]
    if wrong:
        raise DataError(
            f"{path}: {wrong[0][:40]!r} is not a symbol (1 to 32 letters, digits and . ^ = -). "
            "Name the file after its symbol, or correct the symbol column."
        )
    count = Counter(symbol.casefold() for symbol in symbols)
    twice = [symbol for symbol in symbols if count[symbol.casefold()] > 1]
    if twice:
        raise DataError(
            f"{path}: {twice[0]!r} and {twice[1]!r} are one symbol in two places, or differ only in case. "
            "Keep one of them."
        )
    return tuple(symbols)


def _single(file: CsvFile | ParquetFile, symbol: str) -> pd.DataFrame:
    """The price table in a file of one symbol in Yahoo's columns."""
    columns = file.columns()
    raw = file.load(list(columns))
    served = _events(raw.assign(symbol=symbol))
    adjusted = raw["adjusted_close"].to_numpy() if "adjusted_close" in columns and "dividend" not in columns else None
    auto_adjusted = {"dividend", "split"} <= columns.keys() and "adjusted_close" not in columns
    return facts(served, adjusted_close=adjusted, auto_adjusted=auto_adjusted)


def _tidy(file: CsvFile | ParquetFile, symbols: list[str] | None) -> pd.DataFrame:
    """The price table of the symbols in a file with a symbol column."""
    columns = file.columns()
    raw = file.load(list(columns), symbols)
    if symbols is not None:
        raw = raw[raw["symbol"].isin(symbols)].reset_index(drop=True)
    _distinct(set(raw["symbol"].unique()), [], file.path)
    table = _events(raw)
    if "adjusted_close" in columns and "dividend" not in columns:
        table["dividend"] = _implied(table, raw["adjusted_close"].to_numpy())
    return table


def _implied(table: pd.DataFrame, adjusted_close: np.ndarray) -> np.ndarray:
    paid = np.zeros(len(table))
    for _, rows in table.sort_values("date", kind="stable").groupby("symbol"):
        place = rows.index.to_numpy()
        paid[place] = implied_dividends(rows["close"].to_numpy(), adjusted_close[place], rows["split"].to_numpy())
    return paid


def _events(raw: pd.DataFrame) -> pd.DataFrame:
    """A price table in which a split of 0, as Yahoo writes it, is none."""
    table = prices_table(raw)
    table["split"] = table["split"].replace(0.0, 1.0)
    return table


def between(table: pd.DataFrame, start: np.datetime64 | None, stop: np.datetime64 | None) -> pd.DataFrame:
    """The rows from `start` to `stop`, both included; None is no bound."""
    kept = np.ones(len(table), bool)
    if start is not None:
        kept &= (table["date"] >= pd.Timestamp(start)).to_numpy()
    if stop is not None:
        kept &= (table["date"] <= pd.Timestamp(stop)).to_numpy()
    return table[kept].reset_index(drop=True)
