"""Whether the live record of published forecasts still is what was promised: coverage and CRPS, each in its band."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special

from app.evaluation.gate import excess
from app.evaluation.loss import crps
from app.evaluation.overlap import mean_variance
from app.evaluation.verdict import MIN_SPANS, RANDOM_WALK
from app.schema import QUANTILES

SESSIONS = 60
"""Newest origins looked at, but at least `MIN_SPANS` horizons of them: fewer prove nothing where forecasts overlap."""

ALPHA = 0.01
"""Chance of any alarm at all at one look, when all is as promised; divided by the number of questions asked."""

INTERVALS = {0.5: ("q0.25", "q0.75"), 0.8: ("q0.10", "q0.90"), 0.9: ("q0.05", "q0.95")}


@dataclass(frozen=True, eq=False)
class Record:
    """What a model said beforehand and what came true, in order of origins, beside the random walk.

    origin: (n,) datetime64[D]. horizon: (n,) sessions. actual: (n,) log returns. quantiles: (n, levels) log returns.
    naive: (n, levels) those of the random walk of the same symbol, origin and horizon, NaN where it said nothing.
    """

    model: str
    origin: np.ndarray
    horizon: np.ndarray
    actual: np.ndarray
    quantiles: np.ndarray
    naive: np.ndarray

    @cached_property
    def horizons(self) -> Mapping[int, "Record"]:
        """Horizon → the record at it alone, the shortest first."""
        return {int(horizon): self._take(self.horizon == horizon) for horizon in np.unique(self.horizon)}

    @cached_property
    def days(self) -> tuple[np.ndarray, np.ndarray]:
        """((days,) the different origins, (n,) which of them each row has)."""
        return np.unique(self.origin, return_inverse=True)

    @cached_property
    def excess(self) -> np.ndarray:
        """(days,) how much higher the mean CRPS is than the random walk's (`gate.excess`), on rows both forecast.

        The unit is the random walk's mean over the whole record; a record at one horizon is asked for it.
        """
        both = self._take(np.isfinite(self.naive[:, 0]))
        if not len(both.origin):
            return np.zeros(0)
        day, rows = both.days[1], np.bincount(both.days[1])
        ours, theirs = (np.bincount(day, crps(said, both.actual)) / rows for said in (both.quantiles, both.naive))
        return excess(ours[:, None], theirs[:, None])

    def held(self, nominal: float) -> np.ndarray:
        """(n,) whether the central interval of that probability holds the actual.

        Raises:
            KeyError: it is none of `INTERVALS`.
        """
        low, high = (self.quantiles[:, QUANTILES.index(end)] for end in INTERVALS[nominal])
        return (low <= self.actual) & (self.actual <= high)

    def newest(self, sessions: int) -> "Record":
        """The rows of the newest origins."""
        return self._take(self.days[1] >= len(self.days[0]) - sessions)

    def _take(self, rows: np.ndarray) -> "Record":
        arrays = (self.origin, self.horizon, self.actual, self.quantiles, self.naive)
        return Record(self.model, *(array[rows] for array in arrays))


@dataclass(frozen=True)
class Alarm:
    """Something about a live record that chance does not explain; check is "coverage" or "crps"."""

    check: str
    model: str
    horizon: int
    sentence: str
    p_value: float
    days: int


def alarms(record: Record, alpha: float = ALPHA) -> list[Alarm]:
    """Everything that is out of its band in the record of a model.

    Asked at each horizon: do the newest 50, 80 and 90 % intervals hold as many actuals as they promise
    (two-sided)? Is the newest CRPS higher than the random walk's, and higher, relative to it, than in the record
    before (one-sided)? A horizon with fewer days than `SESSIONS` or `MIN_SPANS` horizons is not asked about.

    Args:
        record: published forecasts and their actuals; where it lacks the random walk, CRPS is not asked about.
        alpha: chance of a false alarm, all questions together.

    Source: the band of a share is that of a binomial whose days, not rows, are independent (`overlap.mean_variance`,
    days / horizon - 1 degrees of freedom); the bound on all questions together is Bonferroni's.
    """
    level = alpha / (max(len(record.horizons), 1) * (len(INTERVALS) + 2))
    found: list[Alarm] = []
    for horizon, rows in record.horizons.items():
        found += _coverage(rows, horizon, level)
        if record.model != RANDOM_WALK:
            found += _crps(rows, horizon, level)
    return found


def _coverage(record: Record, horizon: int, level: float) -> Iterator[Alarm]:
    """An alarm for each interval that held too few or too many of the newest actuals."""
    if len(record.days[0]) < _days(horizon):
        return
    recent = record.newest(_days(horizon))
    day, rows = recent.days[1], len(recent.actual)
    for nominal in INTERVALS:
        shares = np.bincount(day, recent.held(nominal)) / np.bincount(day)
        spread = np.sqrt(max(mean_variance(shares, horizon), *_least(shares, nominal, horizon, rows)))
        freedom = len(shares) / horizon - 1
        away = (shares.mean() - nominal) / spread
        p_value = float(2 * special.stdtr(freedom, -abs(away)))
        if p_value < level:
            half = -special.stdtrit(freedom, level / 2) * spread
            band = f"{max(100 * (nominal - half), 0):.0f} to {min(100 * (nominal + half), 100):.0f} %"
            sentence = (
                f"{record.model} at h = {horizon}: {100 * shares.mean():.0f} % of the actuals of the newest "
                f"{len(shares)} sessions lie in the {100 * nominal:.0f} % interval, its band is {band}"
            )
            yield Alarm("coverage", record.model, horizon, sentence, p_value, len(shares))


def _least(shares: np.ndarray, nominal: float, horizon: int, rows: int) -> tuple[float, float]:
    """Variances of a mean share that the estimate must not fall below, as it does by chance in short records.

    If days were alike as far as their forecasts overlap and not beyond; if every row were independent of all others.
    """
    return float(np.square(shares - nominal).mean() * horizon / len(shares)), nominal * (1 - nominal) / rows


def _crps(record: Record, horizon: int, level: float) -> Iterator[Alarm]:
    """An alarm if the newest CRPS is worse than the random walk's, or than it was before, relative to that."""
    model, newest, before = record.model, record.excess[-_days(horizon) :], record.excess[: -_days(horizon)]
    if len(newest) < _days(horizon):
        return
    now, variance = newest.mean(), mean_variance(newest, horizon)
    freedom = len(newest) / horizon - 1
    shown = f"{model} at h = {horizon}: CRPS {_size(now)} than the random walk's in the newest {len(newest)} sessions"
    p_value = _above(now, variance, freedom)
    if p_value < level:
        yield Alarm("crps", model, horizon, f"{shown}; it should not be higher", p_value, len(newest))
    if len(before) >= _days(horizon):
        then = before.mean()
        p_value = _above(now - then, variance + mean_variance(before, horizon), freedom)
        if p_value < level:
            sentence = f"{shown}; it was {_size(then)} in the {len(before)} before"
            yield Alarm("crps", model, horizon, sentence, p_value, len(newest))


def _days(horizon: int) -> int:
    """Origins that one look takes in."""
    return max(SESSIONS, MIN_SPANS * horizon)


def _size(difference: float) -> str:
    return f"{abs(100 * difference):.1f} % {'higher' if difference > 0 else 'lower'}"


def _above(mean: float, variance: float, freedom: float) -> float:
    """One-sided p-value of a mean above 0; 1 where nothing varies."""
    return float(special.stdtr(freedom, -mean / np.sqrt(variance))) if variance > 0 else 1.0
