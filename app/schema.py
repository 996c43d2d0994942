"""The tables that every part of the application exchanges: their columns, units and checks."""

import numpy as np
import pandas as pd

from app.errors import DataError

PRICE_FIELDS = ("open", "high", "low", "close", "volume", "dividend", "split")
PRICE_COLUMNS = ("symbol", "date", *PRICE_FIELDS)
"""One row per (symbol, date), as traded: currency per share; dividend in currency per share on its
ex-date; split in new shares per old share, 1 when there is none."""

LEVELS = tuple(round(0.05 * i, 2) for i in range(1, 20))
"""The probability levels of every forecast: 0.05, 0.10, … 0.95."""

QUANTILES = tuple(f"q{level:.2f}" for level in LEVELS)
MEDIAN = "q0.50"

FORECAST_KEYS = ("model", "symbol", "origin", "horizon")
FORECAST_COLUMNS = (*FORECAST_KEYS, "date", "origin_close", *QUANTILES, "actual")
"""One row per (model, symbol, origin, horizon). Quantiles and actual are log returns, dividends
included, from the origin's close to the close of `date`; actual is NaN until it is known. Where the target
is the direction they are the same, and the chance of a rise is read off them; where it is volatility
(`dataset.targets`), they are logs of the volatility per session realised after the origin until `date`."""

ISSUE_COLUMNS = ("symbol", "date", "rule", "severity", "detail")
"""What is wrong with a price table: severity is "error" (kept out of training) or "warning"."""


def prices_table(table: pd.DataFrame) -> pd.DataFrame:
    """Bring a table to the columns and types of a price table, in its own order of rows.

    Missing `dividend` and `split` columns mean that there were none; a missing
    `open`, `high`, `low` or `volume` column means not known (NaN).

    Raises:
        DataError: no symbol, date or close column.
    """
    missing = [name for name in ("symbol", "date", "close") if name not in table.columns]
    if missing:
        raise DataError(
            f"prices: no column {missing[0]!r}; found are {list(table.columns)[:12]}. "
            "A price table needs symbol, date and close."
        )
    absent = {"dividend": 0.0, "split": 1.0}
    days = pd.to_datetime(table["date"]).dt.tz_localize(None).dt.normalize().dt.as_unit("ns")
    columns = {"symbol": table["symbol"].astype("str").array, "date": days.array}
    for name in PRICE_FIELDS:
        number = _numbers(table[name]) if name in table.columns else np.full(len(table), np.nan)
        columns[name] = np.where(np.isnan(number), absent[name], number) if name in absent else number
    return pd.DataFrame(columns)


def _numbers(given: pd.Series) -> np.ndarray:
    """(rows,) what is given as numbers; NaN where it is none."""
    if given.dtype == "float64":
        return given.to_numpy(copy=True)
    return pd.to_numeric(given, errors="coerce").to_numpy("float64", na_value=np.nan)


def check_forecasts(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table if it is a forecasts table, else refuse it.

    Raises:
        DataError: a column is missing, a key stands twice, a forecast is not
            finite or not in order, or a forecast's date is not after its origin.
    """
    missing = [name for name in FORECAST_COLUMNS if name not in table.columns]
    if missing:
        raise DataError(f"forecasts: missing column(s) {missing}; needed are {list(FORECAST_COLUMNS)}.")
    quantiles = table[list(QUANTILES)].to_numpy()
    faults = {
        "forecast a date that is not after their origin": ~(table["date"] > table["origin"]).to_numpy(),
        "hold quantiles that are not finite": ~np.isfinite(quantiles).all(axis=1),
        "hold quantiles that cross": (np.diff(quantiles, axis=1) < 0).any(axis=1),
        "repeat a (model, symbol, origin, horizon)": table.duplicated(list(FORECAST_KEYS)).to_numpy(),
    }
    for fault, rows in faults.items():
        if rows.any():
            first = table.loc[rows, list(FORECAST_KEYS)].iloc[0].to_dict()
            raise DataError(f"forecasts: {rows.sum()} row(s) {fault}, first {first}.")
    return table
