"""Intervals corrected by their own past: wider after misses, narrower after too many hits."""

import numpy as np
import pandas as pd

from app.dataset.windows import Windows
from app.errors import SettingsError
from app.forecasters.base import Fitted, forecasts_table
from app.schema import FORECAST_COLUMNS, LEVELS, MEDIAN, QUANTILES, check_forecasts

RATE = 0.05
THIRDS = 3
"""Narrow, middling and wide forecasts are corrected apart: calm and stormy markets are misjudged differently."""

RECENT = 252
"""Newest origins by which a live forecast is corrected: a year."""

SUFFIX = "-conformal"

_MIDDLE = QUANTILES.index(MEDIAN)
_OUTWARDS = np.sign(np.arange(len(LEVELS)) - _MIDDLE)


def conformal(forecasts: pd.DataFrame, rate: float = RATE) -> pd.DataFrame:
    """Move the quantiles of each model until their levels come true, by nothing but what was known at each origin.

    Each (model, horizon) keeps one stretch s per level and third, 1 at first, and carries it across refits:

        q'(level) = median + s(level, third) * (q(level) - median)
        s(level, third) += step * (level - share of actuals at or below q'(level))    above the median; -= below it
        step = rate / sqrt(horizon) * part of this day / part of all days, at most 3 times the first

    once for each day on which actuals become known. The third of a forecast is that of the width of its 80 %
    interval among all up to its origin; the share is taken over the symbols of that day in the third, and the parts
    are those of judged forecasts that lie in it. What corrects an origin are actuals whose `date` is not after it:
    a forecast h sessions ahead is judged h sessions later.
    The median stays, so that tests of the direction mean what they meant; quantiles that would cross are put in order
    on their side of it, and a stretch below 0 counts as 0.

    Args:
        forecasts: a forecasts table; rows whose actual is not known are corrected, too, and teach nothing.
        rate: of learning, in (0, 1]. With 0.05, on 200 stocks over four years at h = 1, the start included, intervals
            that are a fifth too narrow come within 1.4 points at 50, 80 and 90 %, and the CRPS of those that are
            nearly right rises by 0.2 % at most (`benchmarks/RESULTS.md`).

    Returns:
        A forecasts table of the same rows in the same order, `SUFFIX` after the names of the models.

    Raises:
        SettingsError: the rate is outside (0, 1].

    Source: adaptive conformal inference, Gibbs & Candès (2021), NeurIPS 34, in the form that tracks quantiles and not
    levels: Angelopoulos, Candès & Tibshirani (2023), "Conformal PID control for time series prediction", NeurIPS 36,
    section 2.1; by group as in Bastani, Gupta, Jung, Noarov, Ramalingam & Roth (2022), "Practical adversarial
    multivalid conformal prediction", NeurIPS 35. Over T days the share reached differs from its level by about
    |last s - 1| / (rate T) at h = 1 in each third, whatever the data do.
    """
    if not 0 < rate <= 1:
        raise SettingsError(f"conformal: rate must be above 0 and at most 1, got {rate!r}.")
    columns = list(QUANTILES)
    values = forecasts[columns].to_numpy("float64", copy=True)
    for (_, horizon), rows in forecasts.groupby(["model", "horizon"], sort=False).indices.items():
        values[rows] = _corrected(values[rows], forecasts.iloc[rows], rate / np.sqrt(horizon))
    table = forecasts.assign(model=forecasts["model"] + SUFFIX, **dict(zip(columns, values.T, strict=True)))
    return check_forecasts(table.astype(forecasts[columns].dtypes.to_dict()))


def corrected_newest(model: str, fitted: Fitted, windows: Windows) -> pd.DataFrame:
    """The newest forecast of each symbol, corrected by what came of this same model's forecasts of the last sessions.

    A live forecast has no back test behind it, so the model is asked again what it would have said at the newest
    `RECENT` origins. Those it was trained on are too good a past, and correct too little at first: a network has not
    learnt from the newest of them (they validated it), GARCH and trees have.

    Args:
        model: name in the table, before `SUFFIX`.
        windows: all windows, those with unknown targets included.
    """
    begins = np.unique(windows.origin)[-RECENT:][0]
    recent = windows.originating(begins, windows.origin.max() + 1)
    table = conformal(forecasts_table(model, recent, fitted.predict(recent)))
    newest = windows.newest()
    keys = pd.DataFrame({"symbol": newest.symbol, "origin": newest.origin.astype("datetime64[ns]")})
    live = table.merge(keys.astype({"symbol": table["symbol"].dtype}), on=["symbol", "origin"])
    return live[list(FORECAST_COLUMNS)]


def _corrected(quantiles: np.ndarray, part: pd.DataFrame, rate: float) -> np.ndarray:
    """(n, 19) quantiles of one model and horizon, corrected origin by origin."""
    actual, origin, date = (part[name].to_numpy() for name in ("actual", "origin", "date"))
    due = np.flatnonzero(np.isfinite(actual))
    judged = [due[rows] for rows in _by_day(date[due])]
    third = _thirds(quantiles, origin)
    issued, stretch = np.empty_like(quantiles), np.ones((THIRDS, len(LEVELS)))
    count, done = np.zeros(THIRDS), 0
    for rows in _by_day(origin):
        while done < len(judged) and date[judged[done][0]] <= origin[rows[0]]:
            known = judged[done]
            count += np.bincount(third[known], minlength=THIRDS)
            step = rate / len(known) * np.minimum(THIRDS, count.sum() / np.maximum(count, 1))
            missed = np.array(LEVELS) - (actual[known, None] <= issued[known])
            np.add.at(stretch, third[known], step[third[known], None] * _OUTWARDS * missed)
            done += 1
        issued[rows] = _stretched(quantiles[rows], stretch[third[rows]])
    return issued


def _thirds(quantiles: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """(n,) 0, 1 or 2: where the width of each 80 % interval lies among all up to its origin."""
    width = quantiles[:, -2] - quantiles[:, 1]
    third, seen = np.zeros(len(width), int), np.zeros(0)
    for rows in _by_day(origin):
        seen = np.sort(np.concatenate([seen, width[rows]]), kind="stable")  # nearly in order: as fast as merging
        bounds = [seen[len(seen) * part // THIRDS] for part in range(1, THIRDS)]
        third[rows] = np.searchsorted(bounds, width[rows])
    return third


def _by_day(days: np.ndarray) -> list[np.ndarray]:
    """The positions of the rows of each day, days in order of time."""
    order = np.argsort(days, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(days[order])) + 1) if len(days) else []


def _stretched(quantiles: np.ndarray, stretch: np.ndarray) -> np.ndarray:
    """Quantiles moved away from their median or towards it, in order on either side."""
    median = quantiles[:, _MIDDLE : _MIDDLE + 1]
    moved = median + np.maximum(stretch, 0.0) * (quantiles - median)
    below, above = np.sort(moved[:, :_MIDDLE], axis=1), np.sort(moved[:, _MIDDLE + 1 :], axis=1)
    return np.hstack([below, median, above])
