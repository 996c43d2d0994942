"""Splits and dividends, applied when reading: facts are stored as traded, views are computed.

Convention (Yahoo's, and CRSP's to second order): on the ex-date of a dividend D the previous close
P is replaced by P - D, on the day of an s-for-1 split by P / s. Every quantity for a session is a
function of that session's row and the one before, so nothing here changes when later rows arrive.
"""

import numpy as np
import pandas as pd


def total_returns(prices: pd.DataFrame) -> np.ndarray:
    """Log returns of one symbol, splits and dividends included.

    Args:
        prices: a price table of one symbol, in time order, as traded.

    Returns:
        (rows,) log(close / (previous close / split - dividend)); NaN in the first row and where
        the dividend is not smaller than the price.
    """
    close = prices["close"].to_numpy()
    returns = np.full(len(close), np.nan)
    base = close[:-1] / prices["split"].to_numpy()[1:] - prices["dividend"].to_numpy()[1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        returns[1:] = np.where(base > 0, np.log(close[1:] / base), np.nan)
    return returns


def split_factor(prices: pd.DataFrame) -> np.ndarray:
    """(rows,) shares of today per share of the row's day: the product of all later splits."""
    later = np.append(prices["split"].to_numpy()[1:], 1.0)
    return np.cumprod(later[::-1])[::-1]


def adjusted(prices: pd.DataFrame, dividends: bool = True) -> pd.DataFrame:
    """The view of one symbol in today's shares, with dividends reinvested if wanted.

    Args:
        prices: a price table of one symbol, in time order, as traded.
        dividends: also scale by (1 - dividend / previous close) for every later dividend, as
            Yahoo's Adj Close does. An unknown dividend (NaN) scales nothing.

    Returns:
        A new price table whose open, high, low, close and volume are comparable over time.
    """
    factor = split_factor(prices)
    view = prices.copy()
    view["volume"] = prices["volume"] * factor
    if dividends:
        close = prices["close"].to_numpy()
        before = close[:-1] / prices["split"].to_numpy()[1:]
        kept = np.append(1.0 - np.nan_to_num(prices["dividend"].to_numpy()[1:]) / before, 1.0)
        factor = factor / np.cumprod(kept[::-1])[::-1]
    for name in ("open", "high", "low", "close"):
        view[name] = prices[name] / factor
    return view


def as_traded(served: pd.DataFrame) -> pd.DataFrame:
    """Undo the split adjustment in which Yahoo serves prices, volume and dividends.

    Args:
        served: a price table of one symbol, in time order, all in the shares of its last row,
            with every split after its first row listed.
    """
    factor = split_factor(served)
    facts = served.copy()
    for name in ("open", "high", "low", "close", "dividend"):
        facts[name] = served[name].to_numpy() * factor
    facts["volume"] = served["volume"].to_numpy() / factor
    return facts
