"""How good forecasts were: losses, scores and coverage of a forecasts table.

Rows whose actual is not known yet are left out. Everything is in the table's own unit, the log
return from the origin's close. Quantiles may be stored in float32; losses are float64.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd

from app.dataset.targets import TARGETS
from app.errors import DataError
from app.evaluation.loss import MIDDLE, absolute, auc, brier, chance, crps, log_loss, pinball, qlike, squared, wrong
from app.evaluation.overlap import share_with_band
from app.schema import FORECAST_KEYS, LEVELS, QUANTILES

__all__ = [
    "COVERAGE_COLUMNS",
    "SCORE_COLUMNS",
    "common_rows",
    "coverage",
    "crps",
    "day_means",
    "losses",
    "means_by_day",
]
__all__ += ["pinball", "score", "shares"]

log = logging.getLogger(__name__)

SCORE_COLUMNS = ("model", "horizon", *TARGETS["return"].scores)
COVERAGE_COLUMNS = ("model", "horizon", "nominal", "reached", "days", "low", "high")

_BLOCK = 65_536


def score(forecasts: pd.DataFrame, columns: Sequence[str] = TARGETS["return"].scores) -> pd.DataFrame:
    """One row for each (model, horizon), every row of the table weighing the same.

    n, days and symbols count rows, origins and symbols. mae and rmse are those of the median.
    direction is the share of rows whose median has the sign of the actual, among actuals that are
    not 0; a median of exactly 0 counts one half. coverage_50, _80 and _90 are shares of actuals in
    the central intervals, ends included; width_80 is the mean width of the middle one. Of a rise, an actual
    above 0: brier, log_loss and auc of its chance (`loss`), accuracy of saying what is likelier, and rises, how
    often it came. qlike is that of a log volatility. Each model is scored on its own rows: pass
    `common_rows(forecasts)` where models may differ in them.

    Args:
        forecasts: a forecasts table (`schema.check_forecasts`).
        columns: those wanted, of any target's `scores`.

    Returns:
        model, horizon and `columns`; models in the order in which they appear, horizons rising. A
        (model, horizon) without a known actual has no row.
    """
    position = _known(forecasts)
    group, names = _groups(forecasts, position)
    wanted = [name for name in columns if name in _MEASURES]
    total = {name: np.zeros(len(names)) for name in (*wanted, "moved")}
    chances = np.empty(len(position) if "auc" in columns else 0)
    for part, quantiles, actual in _blocks(forecasts, position):
        for name in total:
            total[name] += np.bincount(group[part], _MEASURES[name](quantiles, actual), minlength=len(names))
        if len(chances):
            chances[part] = chance(quantiles)
    table = names.to_frame(index=False).assign(n=np.bincount(group, minlength=len(names)))
    for column, key in (("days", "origin"), ("symbols", "symbol")):
        table[column] = _distinct(group, forecasts[key].iloc[position], len(names))
    with np.errstate(invalid="ignore"):
        for name in wanted:
            mean = total[name] / (total["moved"] if name == "direction" else table["n"].to_numpy())
            table[name] = np.sqrt(mean) if name == "rmse" else mean
    if "auc" in columns:
        rose = forecasts["actual"].to_numpy()[position] > 0
        table["auc"] = [auc(chances[group == number], rose[group == number]) for number in range(len(names))]
    return table.loc[table["n"] > 0, ["model", "horizon", *columns]].reset_index(drop=True)


def losses(forecasts: pd.DataFrame, metric: str = "crps") -> pd.DataFrame:
    """The loss of each row whose actual is known: model, symbol, origin, horizon, loss.

    Args:
        forecasts: a forecasts table.
        metric: "crps"; "mae", the absolute error of the median; "rmse", its squared error; "qlike", of a log
            volatility; "brier" or "wrong", of the chance that the actual is above 0.

    Raises:
        DataError: another metric.
    """
    if metric not in _LOSSES:
        raise DataError(f"metric must be one of {sorted(_LOSSES)}, got {metric!r}.")
    position = _known(forecasts)
    loss = np.empty(len(position))
    for part, quantiles, actual in _blocks(forecasts, position):
        loss[part] = _LOSSES[metric](quantiles, actual)
    return forecasts[list(FORECAST_KEYS)].iloc[position].assign(loss=loss).reset_index(drop=True)


def common_rows(table: pd.DataFrame) -> pd.DataFrame:
    """The rows whose (symbol, origin, horizon) every model in the table has.

    Args:
        table: forecasts or losses: anything with `schema.FORECAST_KEYS`.

    Raises:
        DataError: a (model, symbol, origin, horizon) stands twice.
    """
    model, models = pd.factorize(table["model"])
    number = table.groupby(["symbol", "origin", "horizon"], sort=False, observed=True).ngroup().to_numpy()
    repeated = len(table) - len(pd.unique(number * len(models) + model))
    if repeated:
        raise DataError(f"forecasts: {repeated} row(s) repeat a (model, symbol, origin, horizon).")
    return table[np.bincount(number)[number] == len(models)] if len(table) else table


def day_means(forecasts: pd.DataFrame, metric: str = "crps") -> pd.DataFrame:
    """Mean loss over symbols for each origin, every model on the same rows.

    Symbols move together, so a day and not a row is one observation: tests take these means.
    Rows that some model lacks are left out, and their number is logged.

    Returns:
        One row per (horizon, origin), in order, one column per model.
    """
    rows = losses(forecasts, metric)
    shared = common_rows(rows)
    if len(shared) < len(rows):
        log.warning("%d of %d forecasts left out: some model lacks their row.", len(rows) - len(shared), len(rows))
    return means_by_day(shared)


def means_by_day(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean of `losses` over symbols: one row per (horizon, origin), one column per model."""
    means = rows.groupby(["horizon", "origin", "model"], observed=True)["loss"].mean().unstack("model")
    return means[pd.unique(rows["model"])]


def coverage(forecasts: pd.DataFrame) -> pd.DataFrame:
    """How often the central intervals held the actual, beside what they promised.

    Args:
        forecasts: a forecasts table.

    Returns:
        `COVERAGE_COLUMNS`: for each (model, horizon) nine rows, nominal 0.1 to 0.9. low and high
        bound a 95 % band for the share reached: day-clustered, as symbols share their days, and
        allowing for the overlap of forecasts several sessions ahead (`overlap.mean_variance`). NaN where
        nothing varies, or where there are no more days than the horizon has sessions.
    """
    table = []
    for model, horizon, days, found in shares(forecasts, _inside):
        for step, (reached, low, high) in enumerate(found):
            nominal = round(LEVELS[MIDDLE + step + 1] - LEVELS[MIDDLE - step - 1], 2)
            table.append((model, horizon, nominal, reached, days, low, high))
    return pd.DataFrame(table, columns=list(COVERAGE_COLUMNS))


def shares(forecasts: pd.DataFrame, counted: Callable) -> Iterator[tuple[str, int, int, list[tuple]]]:
    """How often things were the case, for each (model, horizon) with a known actual.

    Args:
        counted: from quantiles (b, 19) and actual (b,) of some rows to (b,) weights, one array per thing.

    Yields:
        model, horizon, days, and for each thing its share with the ends of its 95 % band, as in `coverage`.
    """
    position = _known(forecasts)
    group, names = _groups(forecasts, position)
    day, days = pd.factorize(forecasts["origin"].iloc[position], sort=True)
    cell, shape = group * len(days) + day, (len(names), len(days))
    size = shape[0] * shape[1]
    rows = np.bincount(cell, minlength=size).reshape(shape)
    hits: dict[int, np.ndarray] = {}
    for part, quantiles, actual in _blocks(forecasts, position):
        for thing, weights in enumerate(counted(quantiles, actual)):
            hits[thing] = hits.get(thing, 0.0) + np.bincount(cell[part], weights, minlength=size)
    for number, (model, horizon) in enumerate(names):
        seen = rows[number] > 0
        if seen.any():
            totals = [total.reshape(shape)[number, seen] for total in hits.values()]
            found = [share_with_band(total, rows[number, seen], horizon) for total in totals]
            yield model, horizon, int(seen.sum()), found


def _known(forecasts: pd.DataFrame) -> np.ndarray:
    """Positions of the rows whose actual is known."""
    return np.flatnonzero(forecasts["actual"].notna().to_numpy())


def _groups(forecasts: pd.DataFrame, position: np.ndarray) -> tuple[np.ndarray, pd.MultiIndex]:
    """The number of each row's (model, horizon), and all of those, models in order of appearance."""
    model, models = pd.factorize(forecasts["model"].iloc[position])
    horizon, horizons = pd.factorize(forecasts["horizon"].iloc[position], sort=True)
    return model * len(horizons) + horizon, pd.MultiIndex.from_product([models, horizons], names=["model", "horizon"])


def _distinct(group: np.ndarray, values: pd.Series, groups: int) -> np.ndarray:
    """(groups,) how many different values each group has."""
    code, found = pd.factorize(values)
    return np.bincount(pd.unique(group * len(found) + code) // max(len(found), 1), minlength=groups)


def _blocks(forecasts: pd.DataFrame, position: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Quantiles (b, 19) and actual (b,) of the rows wanted, a block at a time: memory stays flat.

    No rows are one empty block.
    """
    columns, actual = [forecasts[name].to_numpy() for name in QUANTILES], forecasts["actual"].to_numpy()
    for start in range(0, max(len(position), 1), _BLOCK):
        part = slice(start, min(start + _BLOCK, len(position)))
        rows = position[part]
        quantiles = np.empty((len(rows), len(columns)))
        for level, column in enumerate(columns):
            quantiles[:, level] = column[rows]
        yield part, quantiles, actual[rows].astype("float64")


_LOSSES = {"crps": crps, "mae": absolute, "rmse": squared, "qlike": qlike, "brier": brier, "wrong": wrong}


def _inside(quantiles: np.ndarray, actual: np.ndarray) -> list[np.ndarray]:
    """Whether each central interval holds the actual, the narrowest first."""
    return [_holds(quantiles, actual, step) for step in range(1, MIDDLE + 1)]


def _holds(quantiles: np.ndarray, actual: np.ndarray, step: int) -> np.ndarray:
    """(n,) whether the central interval `step` levels either side of the median holds the actual."""
    return (quantiles[:, MIDDLE - step] <= actual) & (actual <= quantiles[:, MIDDLE + step])


def _right(quantiles: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """(n,) whether the median has the sign of the actual, one half for a median of 0; 0 for an actual of 0."""
    median = quantiles[:, MIDDLE]
    return np.where(actual != 0, np.where(median == 0, 0.5, np.sign(median) == np.sign(actual)), 0.0)


_MEASURES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "crps": crps,
    "pinball": lambda quantiles, actual: crps(quantiles, actual) / 2,
    "mae": absolute,
    "rmse": squared,
    "qlike": qlike,
    "moved": lambda quantiles, actual: actual != 0,
    "direction": _right,
    **{f"coverage_{10 * step}": partial(_holds, step=step) for step in (5, 8, 9)},
    "width_80": lambda quantiles, actual: quantiles[:, MIDDLE + 8] - quantiles[:, MIDDLE - 8],
    "brier": brier,
    "log_loss": log_loss,
    "accuracy": lambda quantiles, actual: 1 - wrong(quantiles, actual),
    "rises": lambda quantiles, actual: actual > 0,
}
"""What `score` adds up, one value per row each."""
