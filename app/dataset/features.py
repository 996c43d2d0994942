"""What may be known at a close: numbers without a scale, each a function of the past of one symbol.

Every feature is measured in units of the symbol's own volatility, so that symbols of different
temperament, and the same symbol in calm and in storm, can share one network. Market-wide and level
features are left out on purpose: they let a network memorise days (docs/decisions.md); a straight line
may be told of the market (`dataset.outlook`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from app.prices.adjust import total_returns

DECAY = 0.94
"""Decay of the volatility that scales everything: RiskMetrics' daily value (1996, §5.3)."""

FAST, SLOW = 0.80, 0.985
WARM_UP = 20
"""Sessions before the first volatility counts as known."""

FLOOR = 1e-4
"""Smallest volatility per session: a symbol that does not move is not divided by zero."""

LARGEST = 8.0
"""Features are clipped to ± this many units; a damaged row that passed the checks stays bounded."""


Known = Mapping[str, np.ndarray]
"""The basis of one symbol, column by column."""


@dataclass(frozen=True)
class Feature:
    """A named column of the feature matrix, computed from the basis of one symbol."""

    name: str
    meaning: str
    compute: Callable[[Known], np.ndarray]


def basis(prices: pd.DataFrame, days_to_next: np.ndarray) -> pd.DataFrame:
    """The quantities all features are made of, one row per session of one symbol.

    Args:
        prices: sound price table of one symbol, in time order, as traded.
        days_to_next: (rows,) calendar days from each session to the next one of its exchange.

    Returns:
        Columns: `returns` (total log return), `volatility` (per session, EWMA of squared returns),
        `true_range` (log of highest over lowest price, the previous close included), `volume`
        (in shares of the first row), `days_to_next`. Each row depends on no later row.

    Source: EWMA: J.P. Morgan/Reuters (1996), RiskMetrics Technical Document, §5.2.
    """
    returns = total_returns(prices)
    known = {
        "returns": returns,
        "volatility": ewma_volatility(returns, DECAY),
        "true_range": _true_range(prices, returns),
        "volume": prices["volume"].to_numpy() / np.cumprod(prices["split"].to_numpy()),
        "days_to_next": np.asarray(days_to_next, float),
    }
    return pd.DataFrame(known)


def ewma_volatility(returns: np.ndarray, decay: float) -> np.ndarray:
    """(rows,) square root of the exponentially weighted mean of squared returns, up to each row.

    NaN until `WARM_UP` returns are known; never below `FLOOR`.
    """
    squares = pd.Series(np.square(returns))
    mean = squares.ewm(alpha=1 - decay, min_periods=WARM_UP, ignore_na=True).mean()
    return np.maximum(np.sqrt(mean.to_numpy()), FLOOR)


def _true_range(prices: pd.DataFrame, returns: np.ndarray) -> np.ndarray:
    """Log range from the highest to the lowest of high, low, close and the (adjusted) close before.

    Unknown highs and lows fall back to the closes, so that the range is at least |return|.
    """
    close = np.log(prices["close"].to_numpy())
    before = close - np.nan_to_num(returns)
    with np.errstate(invalid="ignore", divide="ignore"):
        high = np.log(prices["high"].to_numpy())
        low = np.log(prices["low"].to_numpy())
    top = np.fmax(np.maximum(close, before), np.where(np.isfinite(high), high, -np.inf))
    bottom = np.fmin(np.minimum(close, before), np.where(np.isfinite(low), low, np.inf))
    return top - bottom


def _log_ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(numerator, FLOOR) / denominator)


def _range_volatility(known: Known, decay: float) -> np.ndarray:
    """Parkinson's (1980) volatility, J. Business 53, eq. 12, with the true range and EWMA weights."""
    return ewma_volatility(known["true_range"] / np.sqrt(4 * np.log(2)), decay)


def relative_volume(known: Known) -> np.ndarray:
    """log(volume / its mean of 60 sessions); 0, meaning usual, where volume is unknown or zero."""
    volume = np.where(known["volume"] > 0, known["volume"], np.nan)
    usual = pd.Series(volume).rolling(60, min_periods=WARM_UP).mean().to_numpy()
    return np.nan_to_num(np.log(volume / usual))


def _volatility(decay: float) -> Callable[[Known], np.ndarray]:
    return lambda known: _log_ratio(ewma_volatility(known["returns"], decay), known["volatility"])


def _range(decay: float) -> Callable[[Known], np.ndarray]:
    return lambda known: _log_ratio(_range_volatility(known, decay), known["volatility"])


FEATURES = (
    Feature("up", "last return over volatility, where positive", lambda k: np.fmax(k["returns"], 0) / k["volatility"]),
    Feature("down", "the same where negative", lambda k: np.fmin(k["returns"], 0) / k["volatility"]),
    Feature("range", "log true range over volatility", lambda k: _log_ratio(k["true_range"], k["volatility"])),
    Feature("fast", "log of fast over usual volatility", _volatility(FAST)),
    Feature("slow", "log of slow over usual volatility", _volatility(SLOW)),
    Feature("range_fast", "log of fast range volatility over volatility", _range(FAST)),
    Feature("range_usual", "log of usual range volatility over volatility", _range(DECAY)),
    Feature("range_slow", "log of slow range volatility over volatility", _range(SLOW)),
    Feature("volume", "log volume over its mean of 60 sessions", relative_volume),
    Feature("days_to_next", "log of the calendar days to the next session", lambda k: np.log(k["days_to_next"])),
)
"""Every feature, in the order of the columns of the feature matrix."""


def feature_matrix(known: pd.DataFrame) -> np.ndarray:
    """(rows, features) float32; a row is NaN throughout until its volatility is known."""
    arrays = {name: known[name].to_numpy() for name in known.columns}
    columns = [feature.compute(arrays) for feature in FEATURES]
    matrix = np.clip(np.column_stack(columns), -LARGEST, LARGEST)
    matrix[~np.isfinite(known["volatility"].to_numpy())] = np.nan
    return matrix.astype("float32")
