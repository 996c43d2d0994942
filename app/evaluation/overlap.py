"""Means over days: their variance, where forecasts several sessions ahead overlap, and the bands of shares."""

import numpy as np
from scipy import special


def mean_variance(values: np.ndarray, horizon: int) -> float:
    """Variance of the mean of a series in which forecasts `horizon` sessions ahead overlap.

    horizon - 1 autocovariances enter with weight 1, as they do for optimal forecasts. Where their
    sum is not positive, which happens in short series, they get Bartlett's falling weights, under
    which it cannot be negative. The small-sample factor makes it the usual s^2 / n at horizon 1.

    Args:
        values: (n,) one per origin, in time order.
        horizon: sessions ahead, from 1.

    Returns:
        The variance; 0 when nothing varies, NaN when n <= horizon.

    Source: Diebold & Mariano (1995), JBES 13, 253-263, section 1.1 (both kernels); the factor
    is that of Harvey, Leybourne & Newbold (1997), IJF 13, 281-291.
    """
    n = len(values)
    if n <= horizon:
        return np.nan
    centred = values - values.mean()
    covariance = np.array([centred[lag:] @ centred[: n - lag] / n for lag in range(horizon)])
    twice = np.where(np.arange(horizon) > 0, 2.0, 1.0)
    total = twice @ covariance
    if total <= 0:
        total = max(twice * (1 - np.arange(horizon) / horizon) @ covariance, 0.0)
    return total / (n + 1 - 2 * horizon + horizon * (horizon - 1) / n)


def share_with_band(hits: np.ndarray, rows: np.ndarray, horizon: int) -> tuple[float, float, float]:
    """Share of hits and its 95 % band, in which days and not rows are independent: a ratio of day totals, linearised.

    Args:
        hits: (days,) rows of each day that were hits, in time order.
        rows: (days,) rows of each day, from 1.
        horizon: sessions ahead, from 1.

    Returns:
        (reached, low, high); low and high are NaN where nothing varies, or days <= horizon.
    """
    reached = hits.sum() / rows.sum()
    variance = mean_variance((hits - reached * rows) / rows.mean(), horizon)
    if not variance > 0:
        return reached, np.nan, np.nan
    half = special.stdtrit(len(hits) - 1, 0.975) * np.sqrt(variance)
    return reached, max(reached - half, 0.0), min(reached + half, 1.0)
