"""From the columns in which Yahoo serves a symbol back to the facts as traded.

Yahoo's prices, volumes and dividends are in the shares of today. What says which dividends were paid
differs from file to file, so each of the three ways is read as it is meant:

* `Adj Close` and a dividends column: Close is adjusted for splits only; the dividends are listed;
* `Adj Close` and no dividends column: the dividends are those that Adj Close implies;
* dividends and splits but no `Adj Close` (yfinance's default, auto_adjust): Close is Adj Close.
"""

import numpy as np
import pandas as pd

from app.prices.adjust import as_traded

IMPLIED = 1e-5
"""Adj Close over Close moves by less than 6.2e-7 a day in 88 real files (106,000 rows, single precision)
where nothing was paid, and by more than 1.0e-4 where something was: there is nothing between."""

DECIMALS = 8
"""Numbers with more decimals than this are taken as not rounded."""


def facts(served: pd.DataFrame, adjusted_close: np.ndarray | None, auto_adjusted: bool = False) -> pd.DataFrame:
    """A price table as traded, in the order of rows of the file.

    Args:
        served: a price table of one symbol, in any order, in the shares of its newest row.
        adjusted_close: (rows,) Adj Close where it is what tells the dividends, else None.
        auto_adjusted: the prices are adjusted for the dividends listed, too.
    """
    order = np.argsort(served["date"].to_numpy(), kind="stable")
    rows = served.iloc[order].reset_index(drop=True)
    listed, rows["split"] = rows["split"].to_numpy(), _once_a_day(rows)
    if adjusted_close is not None:
        rows["dividend"] = implied_dividends(rows["close"].to_numpy(), adjusted_close[order])
    if auto_adjusted:
        rows = without_dividend_adjustment(rows)
    rows = as_traded(rows).assign(split=listed)
    return rows.iloc[np.argsort(order)].set_index(served.index)


def implied_dividends(close: np.ndarray, adjusted_close: np.ndarray, split: np.ndarray | None = None) -> np.ndarray:
    """(rows,) the dividends that Adj Close implies, in the shares of their own row.

    With P the close before in the shares of the day, Adj Close keeps the share 1 - D / P of it, so
    D = P * (1 - (adjusted before / P) / (adjusted / close)). A move not above `IMPLIED` plus what
    rounding all four numbers to the decimals of Adj Close can do is none. The total returns are then
    those of Adj Close, whatever it was adjusted for; a negative value undoes an adjustment upwards.

    Args:
        close: (rows,) in time order. Rows where either close is not positive are passed over.
        adjusted_close: (rows,) on the same days.
        split: (rows,) new shares per old where `close` is as traded; None where it is split-adjusted.
    """
    paid = np.zeros(len(close))
    told = np.flatnonzero((close > 0) & (adjusted_close > 0) & np.isfinite(close) & np.isfinite(adjusted_close))
    shares = np.cumprod(np.ones(len(close)) if split is None else split)[told]
    close, adjusted = close[told], adjusted_close[told]
    before = close[:-1] * shares[:-1] / shares[1:]
    missing = 1.0 - (adjusted[:-1] / before) / (adjusted[1:] / close[1:])
    rounding = _half_unit(adjusted) * (1.0 / close + 1.0 / adjusted)
    paid[told[1:]] = np.where(abs(missing) > IMPLIED + rounding[:-1] + rounding[1:], before * missing, 0.0)
    return paid


def without_dividend_adjustment(rows: pd.DataFrame) -> pd.DataFrame:
    """Undo the dividend adjustment of every price, given the dividends.

    With F the factor by which a row's prices were multiplied and A the adjusted close before an
    ex-date, 1 - D / P = 1 / (1 + D F / A), so the factors follow from the newest row backwards.

    Args:
        rows: a price table of one symbol in time order, in one kind of shares, all prices adjusted.
    """
    close, dividend = rows["close"].to_numpy(), rows["dividend"].to_numpy()
    told = np.flatnonzero((close > 0) & np.isfinite(close))
    factor, kept = np.ones(len(rows)), 1.0
    for row in np.flatnonzero(dividend > 0)[::-1]:
        before = told[told < row]
        if len(before):
            kept /= 1.0 + dividend[row] * kept / close[before[-1]]
            factor[:row] = kept
    return rows.assign(**{name: rows[name] / factor for name in ("open", "high", "low", "close")})


def _once_a_day(rows: pd.DataFrame) -> np.ndarray:
    """Each day's split on the first of its rows, so that a row stored twice does not split twice."""
    usable = rows["split"].where(np.isfinite(rows["split"]) & (rows["split"] > 0) & (rows["split"] != 1.0))
    first_told = usable.groupby(rows["date"]).transform("first").fillna(1.0)
    return np.where(rows["date"].duplicated(), 1.0, first_told)


def _half_unit(values: np.ndarray) -> float:
    """Half a unit of the last decimal to which all values are rounded."""
    for decimals in range(DECIMALS + 1):
        if np.allclose(values, np.round(values, decimals), rtol=1e-12, atol=0):
            return 0.5 * 10.0**-decimals
    return 0.0
