"""Is the outcome of a back test believable? A copy of the last price is no forecast, and a miracle is a leak.

The limits are those of daily prices (docs/methods.md, Audit). Real skill is far below them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from app.evaluation.metrics import coverage
from app.evaluation.overlap import share_with_band
from app.evaluation.significance import verdict
from app.evaluation.trials import Trial
from app.evaluation.verdict import RANDOM_WALK
from app.forecasters.base import forecasts_table
from app.forecasters.baselines import RandomWalk
from app.schema import LEVELS, MEDIAN, QUANTILES

DAYS = 250
"""Fewer days than these prove nothing: no alarm is raised on them."""

DIRECTION, DIRECTION_LOW = 0.60, 0.56
"""Share of right signs one session ahead, and the lower end of its day-clustered 95 % interval."""

R_SQUARED = 0.10
"""Share of the squared returns one session ahead that a median may explain."""

CRPS_RATIO, CRPS_HIGH = 0.85, 0.92
"""CRPS over that of the better of two random walks, and the upper end of its 95 % interval."""

FAR_OFF = 0.20
"""How far the 95 % band of a coverage may lie from its promise, and from what a random walk reached."""

OLDER = 5
"""Sessions beyond the origin among which the price is looked for that a forecast echoes."""

NO_SPREAD = 0.25
"""Width of the 90 % interval over the mean absolute return; it is about 4 where the width is right."""

_AUDITED = "audited"
_MEMORIES = {"month": 30, "year": 250}


@dataclass(frozen=True)
class Finding:
    """The answer of one check, in words; `model` where it is about one."""

    check: str
    passed: bool
    detail: str
    model: str = ""


def no_copy(model: str, trials: Sequence[Trial]) -> Finding:
    """The forecast is more than the last price, or an older one, shown a session late.

    The path of medians is compared with the path of prices. A copy of the last price has its peak
    correlation one horizon late, and so has every honest median, which is close to the last price;
    what tells them apart is the interval around it. A later peak is an echo of an older price.
    """
    table, horizon = _table(model, trials), trials[0].tested.spec.horizons[0]
    late = _peak_lag(trials, horizon)
    here = table[(table["horizon"] == horizon) & table["actual"].notna()]
    size = np.abs(here["actual"]).mean()
    away = np.abs(here[MEDIAN]).mean() / size
    spread = (here[QUANTILES[-1]] - here[QUANTILES[0]]).mean() / size
    skill, better = _skill(model, here, horizon)
    line = f"its median is {away:.0%} of a usual move away from the last price, {skill}"
    if late > horizon:
        words = f"a copy of an older price: its path fits that of prices best {late} sessions late; {line}"
        return Finding("copy", False, words, model)
    if spread < NO_SPREAD and late == horizon and not better:
        words = f"a copy of the last price: without an interval, its path that of prices {late} late; {line}"
        return Finding("copy", False, words, model)
    return Finding("copy", True, f"{line}; its intervals are {spread:.1f} usual moves wide, a copy has none", model)


def plausible(model: str, trials: Sequence[Trial], forecasts: pd.DataFrame) -> Finding:
    """No figure is better than daily prices allow, and no interval is far from its promise.

    Args:
        forecasts: the forecasts table that the back test gave out.
    """
    table = forecasts[(forecasts["model"] == model) & forecasts["actual"].notna()]
    days = table["origin"].nunique()
    if days < DAYS:
        return Finding("accuracy", True, f"{days} days are too few for an alarm, {DAYS} are needed", model)
    one = table[table["horizon"] == 1]
    naive = pd.concat(_random_walks(trials), ignore_index=True)
    reasons = [*_too_often_right(one), *_explains_too_much(one), *_too_sharp(table, naive), *_off_promise(table, naive)]
    if reasons:
        return Finding("accuracy", False, f"too good or too far off to be true: {'; '.join(reasons)}", model)
    return Finding("accuracy", True, f"nothing implausible in {days} days", model)


def _table(model: str, trials: Sequence[Trial]) -> pd.DataFrame:
    """The forecasts of watched models, as they made them."""
    return pd.concat([forecasts_table(model, one.tested, one.forecasts) for one in trials], ignore_index=True)


def _peak_lag(trials: Sequence[Trial], horizon: int) -> int:
    """Sessions by which the path of forecast prices trails the path of prices.

    Changes of both paths are correlated, in units of volatility, lags 0 to horizon + OLDER apart.
    """
    panel = trials[0].tested.panel
    median = np.full(len(panel.date), np.nan)
    for one in trials:
        median[one.tested.ends] = one.forecasts[:, 0, LEVELS.index(0.5)]
    rows = np.arange(1, len(median))
    rows = rows[(panel.code[rows] == panel.code[rows - 1]) & np.isfinite(median[rows] + median[rows - 1])]
    forecast = (panel.returns[rows] + median[rows] - median[rows - 1]) / panel.volatility[rows]
    fits = []
    for lag in range(horizon + OLDER + 1):
        then = np.clip(rows + horizon - lag, 0, len(median) - 1)
        actual = np.where(panel.code[then] == panel.code[rows], panel.returns[then], np.nan) / panel.volatility[rows]
        both = np.isfinite(forecast + actual)
        moving = both.sum() > 2 and np.ptp(forecast[both]) > 0 and np.ptp(actual[both]) > 0
        fits.append(np.corrcoef(forecast[both], actual[both])[0, 1] if moving else 0.0)
    return int(np.argmax(fits))


def _skill(model: str, here: pd.DataFrame, horizon: int) -> tuple[str, bool]:
    """What the median is worth against the naive line, in words, and whether that is significant."""
    if not here[MEDIAN].any():
        return "it is that price exactly", False
    line = here.assign(model=RANDOM_WALK, **dict.fromkeys(QUANTILES, 0.0))
    name = model if model != RANDOM_WALK else f"{RANDOM_WALK} (audited)"
    found = verdict(pd.concat([here.assign(model=name), line], ignore_index=True), name, RANDOM_WALK, horizon, "mae")
    return f"its skill is {'' if found.better or found.worse else 'not '}significant ({found.sentence})", found.better


def _too_often_right(one: pd.DataFrame) -> Iterator[str]:
    """Direction, with days as the sample."""
    told = one[(one["actual"] != 0) & (one[MEDIAN] != 0)]
    right = (np.sign(told["actual"]) == np.sign(told[MEDIAN])).groupby(told["origin"])
    hits, rows = right.sum().to_numpy(), right.size().to_numpy()
    if len(rows) < DAYS:
        return
    share, low, _ = share_with_band(hits, rows, 1)
    low = share if np.isnan(low) else low
    if share > DIRECTION and low > DIRECTION_LOW:
        yield f"the direction is right in {share:.1%}, at least {low:.1%}, where 50 to 55 % are usual"


def _explains_too_much(one: pd.DataFrame) -> Iterator[str]:
    """R squared of returns against a forecast of 0."""
    if one["origin"].nunique() < DAYS:
        return
    explained = 1 - np.square(one["actual"] - one[MEDIAN]).sum() / np.square(one["actual"]).sum()
    if explained > R_SQUARED:
        yield f"the median explains {explained:.0%} of the returns one session ahead, where 1 % is rare"


def _too_sharp(table: pd.DataFrame, naive: pd.DataFrame) -> Iterator[str]:
    """CRPS against this application's own random walks, on the same rows; the better of them counts."""
    pair = pd.concat([table.assign(model=_AUDITED), naive], ignore_index=True)
    for horizon, rows in table.groupby("horizon"):
        if rows["origin"].nunique() < DAYS:
            continue
        found = [verdict(pair, _AUDITED, name, int(str(horizon))) for name in _MEMORIES]
        ratio = 1 + max(one.difference for one in found)
        if ratio < CRPS_RATIO and 1 + max(one.high for one in found) < CRPS_HIGH:
            yield f"CRPS is {ratio:.2f} of a random walk's at h = {horizon}, where 0.93 is good"


def _random_walks(trials: Sequence[Trial]) -> Iterator[pd.DataFrame]:
    """Forecasts of random walks whose volatility is that of the last month and of the last year.

    Where volatility has just fallen for good, a year of it is far too wide, and beating it is no miracle.
    """
    for one in trials:
        for name, sessions in _MEMORIES.items():
            fitted = RandomWalk(sessions).fit(one.train, one.validation)
            yield forecasts_table(name, one.tested, fitted.predict(one.tested))


def _off_promise(table: pd.DataFrame, naive: pd.DataFrame) -> Iterator[str]:
    """Coverage far from its level, beyond what its band allows and what volatility did to a random walk's."""
    reached = coverage(naive[naive["model"] == "year"]).set_index(["horizon", "nominal"])["reached"]
    for row in coverage(table).itertuples():
        if row.nominal not in (0.5, 0.8) or row.days < DAYS:
            continue
        low, high = (row.low, row.high) if np.isfinite(row.low) else (row.reached, row.reached)
        usual = sorted((row.nominal, reached[row.horizon, row.nominal]))
        if low > usual[1] + FAR_OFF or high < usual[0] - FAR_OFF:
            yield f"{row.nominal:.0%} intervals hold {row.reached:.0%} at h = {row.horizon}"
