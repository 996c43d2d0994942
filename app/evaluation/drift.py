"""Whether the live record of published forecasts still is what was promised: coverage and CRPS, each in its band."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from app.evaluation.gate import Match, match
from app.evaluation.overlap import mean_variance
from app.evaluation.verdict import MIN_SPANS, RANDOM_WALK

SESSIONS = 60
"""Newest origins looked at, but at least `MIN_SPANS` horizons of them: fewer prove nothing where forecasts overlap."""

ALPHA = 0.01
"""Chance of any alarm at all at one look, when all is as promised; divided by the number of questions asked."""

INTERVALS = {0.5: ("q0.25", "q0.75"), 0.8: ("q0.10", "q0.90"), 0.9: ("q0.05", "q0.95")}


@dataclass(frozen=True)
class Alarm:
    """Something about a live record that chance does not explain; check is "coverage" or "crps"."""

    check: str
    model: str
    horizon: int
    sentence: str
    p_value: float
    days: int


def alarms(
    record: pd.DataFrame, model: str, alpha: float = ALPHA, compared: Mapping[int, Match] | None = None
) -> list[Alarm]:
    """Everything that is out of its band in the record of a model.

    Asked at each horizon: do the newest 50, 80 and 90 % intervals hold as many actuals as they promise
    (two-sided)? Is the newest CRPS higher than the random walk's, and higher, relative to it, than in the record
    before (one-sided)? A horizon with fewer days than `SESSIONS` or `MIN_SPANS` horizons is not asked about.

    Args:
        record: published forecasts with their actuals, of the model and, to be asked about CRPS, of the random walk.
        model: the name the champion's forecasts have in it.
        alpha: chance of a false alarm, all questions together.
        compared: horizon → the model matched with the random walk, where somebody has done that already.

    Source: the band of a share is that of a binomial whose days, not rows, are independent (`overlap.mean_variance`,
    days / horizon - 1 degrees of freedom); the bound on all questions together is Bonferroni's.
    """
    known = record[record["actual"].notna()]
    ours, walk = (known[known["model"] == name] for name in (model, RANDOM_WALK))
    horizons = sorted(int(horizon) for horizon in ours["horizon"].unique())
    level = alpha / (max(len(horizons), 1) * (len(INTERVALS) + 2))
    found: list[Alarm] = []
    for horizon in horizons:
        at_horizon, theirs = ours[ours["horizon"] == horizon], walk[walk["horizon"] == horizon]
        found += _coverage(at_horizon, model, horizon, level)
        if model != RANDOM_WALK and len(theirs):
            both = compared[horizon] if compared else match(at_horizon, theirs)
            found += _crps(both, model, level)
    return found


def _coverage(rows: pd.DataFrame, model: str, horizon: int, level: float) -> Iterator[Alarm]:
    """An alarm for each interval that held too few or too many of the newest actuals."""
    origins, day = np.unique(rows["origin"].to_numpy(), return_inverse=True)
    if len(origins) < _days(horizon):
        return
    recent = day >= len(origins) - _days(horizon)
    day, actual = day[recent] - day[recent].min(), rows["actual"].to_numpy()[recent]
    for nominal, ends in INTERVALS.items():
        low, high = (rows[end].to_numpy()[recent] for end in ends)
        shares = np.bincount(day, (low <= actual) & (actual <= high)) / np.bincount(day)
        spread = np.sqrt(max(mean_variance(shares, horizon), *_least(shares, nominal, horizon, len(actual))))
        freedom = len(shares) / horizon - 1
        away = (shares.mean() - nominal) / spread
        p_value = float(2 * special.stdtr(freedom, -abs(away)))
        if p_value < level:
            half = -special.stdtrit(freedom, level / 2) * spread
            band = f"{max(100 * (nominal - half), 0):.0f} to {min(100 * (nominal + half), 100):.0f} %"
            sentence = (
                f"{model} at h = {horizon}: {100 * shares.mean():.0f} % of the actuals of the newest {len(shares)} "
                f"sessions lie in the {100 * nominal:.0f} % interval, its band is {band}"
            )
            yield Alarm("coverage", model, horizon, sentence, p_value, len(shares))


def _least(shares: np.ndarray, nominal: float, horizon: int, rows: int) -> tuple[float, float]:
    """Variances of a mean share that the estimate must not fall below, as it does by chance in short records.

    If days were alike as far as their forecasts overlap and not beyond; if every row were independent of all others.
    """
    return float(np.square(shares - nominal).mean() * horizon / len(shares)), nominal * (1 - nominal) / rows


def _crps(both: Match, model: str, level: float) -> Iterator[Alarm]:
    """An alarm if the newest CRPS is worse than the random walk's, or than it was before, relative to that."""
    newest, before = both.difference[-_days(both.horizon) :], both.difference[: -_days(both.horizon)]
    if len(newest) < _days(both.horizon):
        return
    now, variance = newest.mean(), mean_variance(newest, both.horizon)
    freedom = len(newest) / both.horizon - 1
    shown = (
        f"{model} at h = {both.horizon}: CRPS {_size(now)} than the random walk's in the newest {len(newest)} sessions"
    )
    p_value = _above(now, variance, freedom)
    if p_value < level:
        yield Alarm("crps", model, both.horizon, f"{shown}; it should not be higher", p_value, len(newest))
    if len(before) >= _days(both.horizon):
        then = before.mean()
        p_value = _above(now - then, variance + mean_variance(before, both.horizon), freedom)
        if p_value < level:
            sentence = f"{shown}; it was {_size(then)} in the {len(before)} before"
            yield Alarm("crps", model, both.horizon, sentence, p_value, len(newest))


def _days(horizon: int) -> int:
    """Origins that one look takes in."""
    return max(SESSIONS, MIN_SPANS * horizon)


def _size(difference: float) -> str:
    return f"{abs(100 * difference):.1f} % {'higher' if difference > 0 else 'lower'}"


def _above(mean: float, variance: float, freedom: float) -> float:
    """One-sided p-value of a mean above 0; 1 where nothing varies."""
    return float(special.stdtr(freedom, -mean / np.sqrt(variance))) if variance > 0 else 1.0
