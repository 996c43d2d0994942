"""Forecasts tables whose truth is known."""

import numpy as np
import pandas as pd
from scipy import stats

from app.schema import LEVELS, QUANTILES, check_forecasts

NORMAL = stats.norm.ppf(LEVELS)


def gaussian(model, actual, spread=1.0, centre=0.0, horizon=1) -> pd.DataFrame:
    """Gaussian forecasts of (symbols, days) actuals; spread and centre are numbers or of the same shape.

    Origins are weekdays from 2020-01-01, and `date` is the weekday `horizon` later.
    """
    actual = np.atleast_2d(np.asarray(actual, float))
    count, days = actual.shape
    sessions = pd.bdate_range("2020-01-01", periods=days + horizon).to_numpy().astype("datetime64[ns]")
    symbols = pd.array(np.repeat([f"S{i}" for i in range(count)], days), dtype="str")
    table = pd.DataFrame({"model": pd.array([model] * actual.size, dtype="str"), "symbol": symbols})
    table = table.assign(origin=np.tile(sessions[:days], count), horizon=horizon)
    table = table.assign(date=np.tile(sessions[horizon:], count), origin_close=100.0)
    middle, wide = (np.broadcast_to(value, actual.shape).reshape(-1, 1) for value in (centre, spread))
    quantiles = dict(zip(QUANTILES, (middle + wide * NORMAL).T, strict=True))
    return check_forecasts(table.assign(**quantiles, actual=actual.ravel()))


def overlapping(random, symbols, days, horizon) -> np.ndarray:
    """(symbols, days) sums of `horizon` shocks, one starting each day, with variance `horizon`."""
    shocks = np.cumsum(random.normal(size=(symbols, days + horizon)), axis=1)
    return shocks[:, horizon:] - shocks[:, :-horizon]
