"""One price file, CSV or Parquet, as a raw table: columns by meaning, dates as sessions, symbols as text."""

import csv
import gzip
import io
import re
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from app.errors import DataError, SettingsError
from app.prices.dates import session_dates

MEANINGS = {
    "symbol": ("symbol", "ticker"),
    "date": ("date", "datetime", "timestamp", "", "index level 0"),
    "open": ("original open", "open"),
    "high": ("high",),
    "low": ("low",),
    "close": ("close",),
    "adjusted_close": ("adj close", "adjclose", "adjusted close"),
    "volume": ("volume",),
    "dividend": ("dividend", "dividends"),
    "split": ("split", "splits", "stock split", "stock splits"),
}
"""What a column means → the names it goes by, in any case; the first found is taken. The date without a
name is the index as pandas writes it."""

TEXT = ("symbol", "date")
ABSENT = ["", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "none", "-", "#N/A"]
"""Texts that stand for a number that is not known."""

OTHER_KINDS = {
    b"PK\x03\x04": "an Excel workbook or a ZIP archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "a gzip file",
    b"SQLite": "an SQLite file",
    b"%PDF": "a PDF",
    b"<": "a web page or XML",
    b"{": "JSON",
    b"[": "JSON",
}
"""First bytes of what is found under the name of a CSV file."""


@dataclass(frozen=True)
class Limits:
    """The largest input that is read."""

    max_bytes: int = 200 * 2**20
    max_rows: int = 5_000_000

    def check_bytes(self, size: int, path: Path) -> None:
        """Refuse more than `max_bytes`."""
        if size > self.max_bytes:
            raise DataError(
                f"{path}: more than {self.max_bytes / 2**20:.0f} MB to read. Split it, or allow more with max_bytes."
            )

    def check_rows(self, rows: int, path: Path) -> None:
        """Refuse more than `max_rows`."""
        if rows > self.max_rows:
            raise DataError(f"{path}: more than {self.max_rows:,} rows. Split it, or allow more with max_rows.")


class CsvFile:
    """Comma, semicolon, tab or bar between fields; a decimal comma where the comma is free for it."""

    def __init__(self, path: Path, limits: Limits):
        self.path, self.limits = path, limits

    def columns(self) -> dict[str, str]:
        """What each known column means → its name in the header."""
        return meanings(_header(self._content(start_only=True))[0], self.path)

    def load(self, wanted: list[str], symbols: list[str] | None = None) -> pd.DataFrame:
        """The wanted columns, by meaning, of every row. (`symbols` saves work in Parquet only.)"""
        names, separator, body = _header(self._content())
        means = {name: meaning for meaning, name in meanings(names, self.path).items()}
        fields = [means.get(name, f"#{position}") for position, name in enumerate(names)]
        decimal = "," if separator != "," and re.search(rb"\d,\d", body[:65536]) else "."
        raw = self._parsed(separator.join(fields).encode() + b"\n" + body, fields, separator, decimal)[wanted]
        self.limits.check_rows(len(raw), self.path)
        blank = (raw[wanted[0]] == "") & (raw.isna() | (raw == "")).all(axis=1)
        raw = raw[~blank].reset_index(drop=True)
        if raw.empty:
            raise _no_rows(self.path)
        columns = {name: _read_column(raw[name], name, decimal, self.path) for name in wanted}
        return pd.DataFrame(columns)

    def _parsed(self, content: bytes, fields: list[str], separator: str, decimal: str) -> pd.DataFrame:
        texts = [field for field in fields if field in TEXT or field not in MEANINGS]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)
                return pd.read_csv(
                    io.BytesIO(content), sep=separator, decimal=decimal, index_col=False, low_memory=False,
                    nrows=self.limits.max_rows + 1, dtype=dict.fromkeys(texts, "str"), keep_default_na=False,
                    na_values={field: ABSENT for field in fields if field not in texts},
                )  # fmt: skip
        except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
            raise DataError(
                f"{self.path}: the rows do not fit the header ({_one_line(error)}). Give every row as many fields as "
                "the header; decimal commas need ';' between fields."
            ) from error
        except UnicodeDecodeError as error:
            raise DataError(f"{self.path}: is not text in UTF-8 ({error.reason}). Save it as CSV in UTF-8.") from error

    def _content(self, start_only: bool = False) -> bytes:
        most = 2**20 if start_only else self.limits.max_bytes + 1
        unpack = gzip.open if self.path.name.lower().endswith(".gz") else open
        try:
            with unpack(self.path, "rb") as file:
                content = file.read(most)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(f"{self.path}: is not a whole gzip file ({_one_line(error)}). Copy it again.") from error
        except OSError as error:
            raise SettingsError(f"{self.path}: cannot be read ({error.strerror}). Check its permissions.") from error
        if not start_only:
            self.limits.check_bytes(len(content), self.path)
        content = content.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
        kind = _other_kind(content)
        if kind:
            raise DataError(f"{self.path}: is {kind}, not CSV as its name says. Save it as CSV in UTF-8.")
        if not content.strip():
            raise DataError(f"{self.path}: is empty. Give a file with a header and rows of prices.")
        return content


class ParquetFile:
    """A Parquet file, or a folder partitioned by `column=value` folders."""

    def __init__(self, path: Path, limits: Limits):
        self.path, self.limits = path, limits
        if path.is_file():
            limits.check_bytes(path.stat().st_size, path)
        elif sizes := [file.stat().st_size for file in path.rglob("*") if file.is_file()]:
            limits.check_bytes(sum(sizes), path)

    def columns(self) -> dict[str, str]:
        """What each known column means → its name in the file."""
        with _parquet_errors(self.path):
            names = self._dataset().schema.names
        return meanings([name.replace("__", "") for name in names], self.path, names)

    def load(self, wanted: list[str], symbols: list[str] | None = None) -> pd.DataFrame:
        """The wanted columns, by meaning; only the rows of the symbols where the file can tell them apart."""
        named = self.columns()
        with _parquet_errors(self.path):
            dataset = self._dataset()
            self.limits.check_rows(dataset.count_rows(), self.path)
            chosen = _symbol_filter(dataset.schema, named.get("symbol"), symbols)
            table = dataset.to_table(columns={name: pc.field(named[name]) for name in wanted}, filter=chosen)
            if not len(table) and not dataset.count_rows():
                raise _no_rows(self.path)
            raw = {name: _plain(table[name], name).to_pandas() for name in wanted}
        return pd.DataFrame({name: _read_column(column, name, ".", self.path) for name, column in raw.items()})

    def _dataset(self) -> ds.Dataset:
        if self.path.is_file():
            return ds.dataset(self.path, format="parquet")
        inside = next(iter(sorted(self.path.rglob("*=*/*.parquet")))).relative_to(self.path).parts[:-1]
        keys = pa.schema([(part.split("=")[0], pa.string()) for part in inside if "=" in part])
        return ds.dataset(self.path, format="parquet", partitioning=ds.partitioning(keys, flavor="hive"))


def meanings(names: list[str], path: Path, originals: list[str] | None = None) -> dict[str, str]:
    """What each known column means → its original name.

    Raises:
        DataError: no date or no close column, or two columns of one name.
    """
    plain = [" ".join(name.replace("_", " ").lower().split()) for name in names]
    found = {}
    for meaning, known in MEANINGS.items():
        name = next((name for name in known if name in plain), None)
        if name is not None and plain.count(name) > 1:
            raise DataError(f"{path}: has {plain.count(name)} columns named {name!r}. Keep one of them.")
        if name is not None:
            found[meaning] = (originals or names)[plain.index(name)]
    for needed in ("date", "close"):
        if needed not in found:
            raise DataError(
                f"{path}: no {needed} column; found are {names[:12]}. Needed are date and close, and symbol where "
                "a file holds several; open, high, low, volume, dividends and stock splits are used when there."
            )
    return found


def _header(content: bytes) -> tuple[list[str], str, bytes]:
    """The names in the first line, what separates them, and the rest of the file."""
    line, *body = re.split(rb"\r\n|\r|\n", content, maxsplit=1)
    text = line.decode("utf-8", errors="replace")
    separator = max(",;\t|", key=text.count)
    return next(csv.reader([text], delimiter=separator)), separator, b"".join(body)


def _read_column(column: pd.Series, name: str, decimal: str, path: Path) -> pd.Series:
    if name == "symbol":
        return column.fillna("").astype("str").str.strip()
    if name == "date":
        return pd.Series(_days(column, path), index=column.index)
    return _numbers(column, name, decimal, path)


def _days(column: pd.Series, path: Path) -> np.ndarray:
    if not isinstance(column.dtype, pd.DatetimeTZDtype) and column.dtype.kind != "M":
        return session_dates(column, str(path))
    days = column.dt.tz_localize(None)
    outside = days.isna() | (days.dt.year < 1700) | (days.dt.year > 2261)
    if outside.any():
        row = int(outside.to_numpy().argmax())
        raise DataError(
            f"{path}: {outside.sum()} row(s) without a usable date, first {column.iloc[row]} in row {row + 1}."
        )
    return days.dt.normalize().dt.as_unit("ns").to_numpy()


def _numbers(column: pd.Series, name: str, decimal: str, path: Path) -> pd.Series:
    if column.dtype.kind in "fiu":
        return column.astype("float64")
    texts = column.astype("str").where(column.notna())
    number = rf"\s*[+-]?(?:\d+(?:[{decimal}]\d*)?|[{decimal}]\d+)(?:[eE][+-]?\d+)?\s*"
    wrong = (texts.notna() & ~texts.str.fullmatch(number, na=False)).to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"{path}: {wrong.sum()} value(s) of {name} are not numbers, first {str(texts.iloc[row])[:40]!r} in row "
            f"{row + 1} after the header. Write plain numbers, without currency or thousands separators."
        )
    return pd.to_numeric(texts.str.replace(decimal, ".")).astype("float64")


def _symbol_filter(schema: pa.Schema, column: str | None, symbols: list[str] | None) -> pc.Expression | None:
    if column is None or symbols is None:
        return None
    kind = schema.field(column).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    texts = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return pc.field(column).isin(symbols) if texts else None


def _plain(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """The column as text, as a time, or as floats, whatever it was stored as."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if name == "date" and pa.types.is_timestamp(column.type):
        return column
    if name == "date" and pa.types.is_date(column.type):
        return column.cast(pa.timestamp("ms"))
    return column.cast(pa.string()) if name in TEXT else column.cast(pa.float64(), safe=False)


@contextmanager
def _parquet_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}). Check its permissions.") from error
    except (pa.ArrowException, OSError, StopIteration) as error:
        raise DataError(f"{path}: is not a whole Parquet file ({_one_line(error)}). Copy or write it again.") from error


def _other_kind(content: bytes) -> str | None:
    for start, kind in OTHER_KINDS.items():
        if content.startswith(start):
            return kind
    return f"binary or UTF-16 (a zero byte at position {content.index(0)})" if b"\0" in content else None


def _no_rows(path: Path) -> DataError:
    return DataError(f"{path}: has a header but no rows. Give a file with rows of prices.")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
