"""Whether a challenger takes the champion's place: if finite and better, beyond chance, on sessions new to both."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from app.errors import DataError
from app.evaluation.metrics import losses
from app.evaluation.overlap import mean_variance
from app.evaluation.verdict import MIN_SPANS, RANDOM_WALK
from app.schema import FORECAST_KEYS, QUANTILES

COSINES = 3
"""Cosines that the second test takes its variance from: few, so that slow changes are not mistaken for evidence."""


@dataclass(frozen=True)
class Rules:
    """When a challenger is promoted.

    alpha: largest one-sided p-value. margin: share by which its CRPS must be lower, beyond chance. sessions: with
    fewer origins than these the champion stays. slack: how much worse than the random walk the first
    version of all may be; it has nobody to beat, but it must not be nonsense.
    """

    alpha: float = 0.05
    margin: float = 0.0
    sessions: int = 60
    slack: float = 0.02


@dataclass(frozen=True)
class Decision:
    """The answer of the gate, and the figures it rests on.

    p_value: one-sided, small when the challenger is better; None where nothing was tested. difference: mean over
    horizons of its CRPS relative to the champion's, less 1 (negative is better); None where there is none.
    """

    promote: bool
    reason: str
    p_value: float | None
    difference: float | None
    days: int
    symbols: int


@dataclass(frozen=True, eq=False)
class Match:
    """Challenger and champion on the rows both have.

    difference: (days,) as `excess` gives it, of all horizons. tests: (series like it, longest horizon in it), each of
    which must be below 0 beyond chance: that of the horizons that the days span `MIN_SPANS` times, where alone a test
    can be trusted, and that of the shortest, which has most independent days.
    """

    difference: np.ndarray
    symbols: int
    tests: tuple[tuple[np.ndarray, int], ...]


def decide(
    forecasts: pd.DataFrame,
    *,
    challenger: str,
    champion: str | None,
    reproduces: bool = True,
    rules: Rules = Rules(),
) -> Decision:
    """Judge a challenger against the champion, or the first version of all against the random walk.

    Args:
        forecasts: a forecasts table with the rows of both (without a champion: of the random walk), whose
            origins neither was trained on. Quantiles that are not finite are allowed: they lose.
        challenger: its name in the table.
        champion: the champion's, or None when there is none yet.
        reproduces: whether the challenger's saved version gave its golden output again.

    Raises:
        DataError: the champion is compared with itself, or has no row.
    """
    rival = champion or RANDOM_WALK
    if challenger == rival and champion:
        raise DataError(f"gate: {challenger!r} cannot be compared with itself; name the champion as well.")
    theirs, ours = (forecasts[forecasts["model"] == name] for name in (rival, challenger))
    if len(theirs) == 0:
        raise DataError(f"gate: no forecast by {rival!r}; models there are {sorted(forecasts['model'].unique())}.")
    objection = _objection(ours, theirs, reproduces)
    if objection:
        return Decision(False, f"{challenger} {objection}", None, None, 0, 0)
    found = match(ours, theirs)
    if len(found.difference) < rules.sessions:
        days = len(found.difference)
        reason = f"{challenger} was compared with {rival} on {days} sessions, at least {rules.sessions} are needed"
        return Decision(False, reason, None, None, days, found.symbols)
    return judge(found, rules, (challenger, rival), first=champion is None)


def match(challenger: pd.DataFrame, champion: pd.DataFrame) -> Match:
    """What the test works on, from two forecasts tables of one model each; rows only one has count for nothing."""
    rows = _paired(losses(challenger), losses(champion))
    if len(rows) == 0:
        return Match(np.zeros(0), 0, ())
    means = rows.groupby(["origin", "horizon"])[["loss", "loss of theirs"]].mean()
    ours, theirs = (means[side].unstack("horizon") for side in means)
    return matched(ours.to_numpy(), theirs.to_numpy(), tuple(ours.columns), rows["symbol"].nunique())


def _paired(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """The rows of `ours` whose key `theirs` has, in their order, with its loss beside."""
    keys = [pd.factorize(pd.concat([ours[name], theirs[name]]))[0] for name in FORECAST_KEYS[1:]]
    number = np.ravel_multi_index(keys, [code.max(initial=0) + 1 for code in keys])
    _, mine, other = np.intersect1d(number[: len(ours)], number[len(ours) :], return_indices=True)
    order = np.argsort(mine)
    return ours.iloc[mine[order]].assign(**{"loss of theirs": theirs["loss"].to_numpy()[other[order]]})


def matched(ours: np.ndarray, theirs: np.ndarray, horizons: tuple[int, ...], symbols: int) -> Match:
    """The same from (days, horizons) mean losses over symbols, NaN where not known yet; horizons rise."""
    spanned = [column for column, horizon in enumerate(horizons) if MIN_SPANS * horizon <= len(ours)]
    asked = [spanned, spanned[:1]] if spanned else []
    tests = tuple((excess(ours[:, some], theirs[:, some]), int(horizons[some[-1]])) for some in asked)
    return Match(excess(ours, theirs), symbols, tests)


def excess(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """(days,) how much higher the loss is than theirs, all horizons together; its mean is the difference.

    At each horizon the unit is the mean of their loss, so that a horizon counts no more because its returns are
    larger. The newest days are not known at the long horizons; a horizon that is known on fewer days weighs
    more on each of them, so that all horizons have the same weight in the mean.

    Args:
        ours, theirs: (days, horizons) mean losses over symbols, NaN where a horizon is not known yet.
    """
    relative = (ours - theirs) / np.nanmean(theirs, axis=0)
    known = np.isfinite(theirs)
    weight = len(known) / known.sum(axis=0) / known.shape[1]
    return np.where(known, relative * weight, 0.0).sum(axis=1)


def judge(found: Match, rules: Rules, names: tuple[str, str], first: bool = False) -> Decision:
    """The decision on enough days of finite losses.

    Args:
        names: of the challenger, and of the one it is compared with.
        first: there is no champion yet.
    """
    challenger, rival = names
    days, difference = len(found.difference), float(found.difference.mean())
    sample = f"on {days} sessions and {found.symbols} symbol{'' if found.symbols == 1 else 's'}"
    if not np.isfinite(difference):
        return Decision(False, f"the loss of {rival} is not finite {sample}", None, None, days, found.symbols)
    size = f"CRPS {abs(100 * difference):.2f} % {'higher' if difference > 0 else 'lower'} than {rival}'s {sample}"
    if first:
        fine = difference <= rules.slack
        reason = f"first version: {size}, allowed is up to {100 * rules.slack:g} % higher"
        return Decision(fine, reason, None, difference, days, found.symbols)
    p_value = max((chance(series + rules.margin, horizon) for series, horizon in found.tests), default=1.0)
    better = difference < -rules.margin and p_value < rules.alpha
    margin = f" by more than {100 * rules.margin:g} %" if rules.margin else ""
    verdict = f"{challenger} is {'better' if better else 'not better'}{margin} beyond chance"
    reason = f"{verdict}: {size}; one-sided p = {p_value:.3f}, asked for is less than {rules.alpha:g}"
    return Decision(better, reason, p_value, difference, days, found.symbols)


def chance(difference: np.ndarray, horizon: int) -> float:
    """One-sided p-value: how easily differences with mean 0 or more would look this much below 0.

    Two tests have to agree, the larger p-value counts. One is Diebold & Mariano's with the small-sample factor
    of `overlap.mean_variance` and days / horizon - 1 degrees of freedom: it knows how far forecasts overlap. The
    other takes the variance of the mean from three slow cosines and has three degrees of freedom: it holds where
    one model stays ahead of the other for weeks, by which the first is misled (measured: benchmarks/gate.py).

    Args:
        difference: (days,) in time order, negative where the challenger is better.
        horizon: sessions ahead of the longest forecast.

    Returns:
        1.0 where nothing varies, or there are too few days.

    Source: Diebold & Mariano (1995), JBES 13, 253-263; Harvey, Leybourne & Newbold (1997), IJF 13, 281-291;
    cosines: Lazarus, Lewis, Stock & Watson (2018), "HAR Inference", JBES 36, 541-559, eq. 5 to 8.
    """
    days = len(difference)
    if days < max(2 * horizon, COSINES + 2) or np.ptp(difference) <= 1e-12 * max(1.0, np.abs(difference).max()):
        return 1.0
    moment = np.pi * (np.arange(1, days + 1) - 0.5) / days
    waves = np.cos(np.outer(np.arange(1, COSINES + 1), moment)) @ difference * np.sqrt(2 / days)
    slow = np.mean(waves**2) / days
    overlapping = mean_variance(difference, horizon)
    mean = difference.mean()
    if not min(slow, overlapping) > 0:
        return 1.0
    tests = ((slow, COSINES), (overlapping, days / horizon - 1))
    return max(float(special.stdtr(freedom, mean / np.sqrt(variance))) for variance, freedom in tests)


def _objection(ours: pd.DataFrame, theirs: pd.DataFrame, reproduces: bool) -> str | None:
    """Why a challenger is out before anything is compared."""
    if not reproduces:
        return "does not give its golden output again"
    if len(ours) == 0:
        return "made no forecast"
    for side, whose in ((ours, "made"), (theirs, f"cannot be judged: {theirs['model'].iloc[0]} made")):
        if not np.isfinite(side[list(QUANTILES)].to_numpy("float64")).all():
            return f"{whose} forecasts that are not finite"
    keys = list(FORECAST_KEYS[1:])
    lacking = len(theirs) - len(theirs[keys].merge(ours[keys], on=keys))
    if lacking > 0:
        return f"lacks {lacking} of {len(theirs)} forecasts that {theirs['model'].iloc[0]} made"
    return None
