"""How far one forecast was from what happened: losses of single rows, from quantiles and actual."""

import numpy as np

from app.errors import DataError
from app.schema import LEVELS, MEDIAN, QUANTILES

MIDDLE = QUANTILES.index(MEDIAN)


def pinball(quantiles: np.ndarray, actual: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """The loss a quantile forecast minimises: level x (actual - q), or (level - 1) x where q is above.

    Args:
        quantiles: (n, levels) forecasts.
        actual: (n,) what happened.
        levels: (levels,) probabilities in (0, 1).

    Returns:
        (n, levels) losses, in the unit of `actual`.

    Raises:
        DataError: the shapes do not fit.

    Source: Koenker & Bassett (1978), Econometrica 46, 33-50.
    """
    quantiles, actual, levels = (np.asarray(array, "float64") for array in (quantiles, actual, levels))
    if quantiles.shape != (*actual.shape, *levels.shape):
        raise DataError(
            f"pinball: quantiles must be (n, levels) = {(*actual.shape, *levels.shape)}, got {quantiles.shape}."
        )
    over = actual[:, None] - quantiles
    return np.maximum(levels * over, (levels - 1) * over)


def crps(quantiles: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Continuous ranked probability score of each row: twice the mean pinball loss over `schema.LEVELS`.

    The CRPS is exactly twice the integral of the pinball loss over all levels. Here 19 levels stand
    for them, each with weight 1/19: the steps between levels are bridged, and what a forecast says
    beyond its 5 % and 95 % quantiles is not judged at all. For a Gaussian forecast that is right the
    mean comes out 4.8 % above the closed form (4.5 to 4.9 % for forecasts a quarter too wide or
    narrow, or with the tails of Student's t4): compare these figures with each other, not with a closed form.

    Args:
        quantiles: (n, 19) forecasts at `schema.LEVELS`.
        actual: (n,) what happened.

    Returns:
        (n,) scores, in the unit of `actual`; 0 is perfect.

    Source: Gneiting & Raftery (2007), JASA 102, 359-378; the quantile form is Laio & Tamea (2007),
    Hydrology and Earth System Sciences 11, 1267-1277.
    """
    return 2 * pinball(quantiles, actual, np.array(LEVELS)).mean(axis=1)


def absolute(quantiles: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """(n,) absolute error of the median."""
    return np.abs(quantiles[:, MIDDLE] - actual)


def squared(quantiles: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """(n,) squared error of the median."""
    return (quantiles[:, MIDDLE] - actual) ** 2


def qlike(quantiles: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Quasi-likelihood loss of a forecast of volatility: v / f - log(v / f) - 1, 0 where they agree.

    Args:
        quantiles: (n, 19) of the log volatility. The forecast f is the mean variance they stand for.
        actual: (n,) log of the realised volatility; v is its variance.

    Source: Patton (2011), Journal of Econometrics 160, 246-256: it ranks forecasts as the true variance would,
    whatever the noise of an unbiased proxy, and is hardly moved by extremes.
    """
    ratio = 1 / np.exp(2 * (quantiles - np.asarray(actual)[:, None])).mean(axis=1)
    return ratio - np.log(ratio) - 1


def chance(quantiles: np.ndarray) -> np.ndarray:
    """(n,) probability that the target is above 0, interpolated between (n, 19) quantiles.

    Nothing is known of the tails: the answer is never below the lowest level nor above the highest. Where several
    quantiles are 0, that much probability lies on 0 itself, which is no rise.
    """
    quantiles, levels = np.asarray(quantiles, "float64"), np.array(LEVELS)
    below = (quantiles <= 0).sum(axis=1)
    left = np.clip(below - 1, 0, len(levels) - 2)
    at = np.take_along_axis(quantiles, left[:, None], axis=1)[:, 0]
    gap = np.take_along_axis(quantiles, left[:, None] + 1, axis=1)[:, 0] - at
    inside = (below > 0) & (below < len(levels))
    slope = (levels[left + 1] - levels[left]) / np.where(inside, gap, 1.0)
    reached = slope * (0.0 - at) + levels[left]
    return 1.0 - np.where(inside, reached, np.where(below == 0, levels[0], levels[-1]))


def brier(quantiles: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """(n,) squared error of the probability of a rise, an actual above 0 being one.

    Source: Brier (1950), Monthly Weather Review 78, 1-3.
    """
    return (chance(quantiles) - (actual > 0)) ** 2


def log_loss(quantiles: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """(n,) minus the log of the probability given to what happened, a rise or not.

    Source: Good (1952), JRSS B 14, 107-114.
    """
    said = chance(quantiles)
    return -np.log(np.where(actual > 0, said, 1 - said))


def wrong(quantiles: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """(n,) 1 where the likelier of rise and no rise did not come; a chance of exactly one half is half wrong."""
    said = chance(quantiles)
    return np.where(said == 0.5, 0.5, (said > 0.5) != (actual > 0))


def auc(said: np.ndarray, rose: np.ndarray) -> float:
    """Probability that a row that rose was given a higher chance than one that did not; ties count half.

    Args:
        said: (n,) chances. rose: (n,) whether the target was above 0.

    Returns:
        0.5 for chances that know nothing, NaN where only one of both happened.

    Source: Hanley & McNeil (1982), Radiology 143, 29-36: the statistic of Mann & Whitney.
    """
    rose = np.asarray(rose, bool)
    ups, downs = rose.sum(), (~rose).sum()
    if not ups or not downs:
        return float("nan")
    _, place, count = np.unique(said, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2
    return float((rank[place][rose].sum() - ups * (ups + 1) / 2) / (ups * downs))
