"""Accuracy and the Matthews correlation of forecasts of direction, with intervals in which days are the sample.

Both are functions of four counts. Linearised, either is the mean over days of one number a day, so that the
day-block bootstrap of `app.evaluation.significance` applies, and a mean over seeds is a mean of such numbers.
"""

from dataclasses import dataclass

import numpy as np

from app.errors import DataError
from app.evaluation.significance import day_block_interval

MIN_DAYS = 8
"""Fewer days than this give no interval, as in `app.evaluation.verdict.MIN_SPANS`."""


@dataclass(frozen=True, eq=False)
class Statistic:
    """A value, and its linearisation: (days,) numbers whose mean it is."""

    value: float
    by_day: np.ndarray

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, by blocks of days; NaN where nothing varies or there are too few days."""
        if len(self.by_day) < MIN_DAYS or np.ptp(self.by_day) < 1e-12:
            return np.nan, np.nan
        # Shifted so that the mean divided by is 1 and not 0: a constant in a linear number moves nothing else.
        low, high = day_block_interval(self.by_day - self.value + 1, np.ones(len(self.by_day)), horizon=1)
        return low + self.value, high + self.value


def day_counts(day: np.ndarray, up: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    """(days, 4) instances a day: rose and said so, rose unsaid, fell unsaid, fell and said so.

    Args:
        day: (n,) any day; up: (n,) bool, it rose; forecast: (n,) bool, it was said to rise.

    Raises:
        DataError: there is no instance, or the lengths differ.
    """
    if not len(day) or not len(day) == len(up) == len(forecast):
        raise DataError(
            f"scores: days, actuals and forecasts must pair up, got {len(day)}, {len(up)}, {len(forecast)}."
        )
    number = np.unique(day, return_inverse=True)[1]
    cell = 4 * number + np.where(up, np.where(forecast, 0, 1), np.where(forecast, 2, 3))
    return np.bincount(cell, minlength=4 * (number.max() + 1)).reshape(-1, 4)


def accuracy(counts: np.ndarray) -> Statistic:
    """Share of forecasts that were right.

    Args:
        counts: from `day_counts`.
    """
    hits, rows = counts[:, 0] + counts[:, 3], counts.sum(axis=1)
    value = hits.sum() / rows.sum()
    return Statistic(float(value), value + (hits - value * rows) / rows.mean())


def mcc(counts: np.ndarray) -> Statistic:
    """Matthews correlation of forecast and actual; 0, without an interval, when one of them never changes.

    With a, b, c, d the four counts: (ad - bc) / sqrt((a + b)(c + d)(a + c)(b + d)).

    Args:
        counts: from `day_counts`.

    Source: Matthews (1975), Biochimica et Biophysica Acta 405, 442-451.
    """
    a, b, c, d = counts.mean(axis=0)
    root = np.sqrt((a + b) * (c + d) * (a + c) * (b + d))
    if root == 0:
        return Statistic(0.0, np.zeros(len(counts)))
    value = (a * d - b * c) / root
    of_rose, of_fell, of_said, of_unsaid = (value / 2 / margin for margin in (a + b, c + d, a + c, b + d))
    gradient = np.array(
        [d / root - of_rose - of_said, -c / root - of_rose - of_unsaid,
         -b / root - of_fell - of_said, a / root - of_fell - of_unsaid]
    )  # fmt: skip
    return Statistic(float(value), value + counts @ gradient)


def mean(statistics: list[Statistic]) -> Statistic:
    """The mean over seeds, paired by day: what the seeds have in common is not averaged away."""
    value = float(np.mean([one.value for one in statistics]))
    return Statistic(value, np.mean([one.by_day for one in statistics], axis=0))


def difference(left: Statistic, right: Statistic) -> Statistic:
    """How much higher the first is, on the same days."""
    return Statistic(left.value - right.value, left.by_day - right.by_day)
