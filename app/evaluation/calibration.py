"""Whether probabilities come true: coverage in calm and stormy markets, and where actuals fall in their forecasts."""

import logging

import numpy as np
import pandas as pd

from app.evaluation.metrics import COVERAGE_COLUMNS, coverage, shares
from app.evaluation.verdict import RANDOM_WALK
from app.schema import LEVELS, MEDIAN, QUANTILES

log = logging.getLogger(__name__)

NOMINAL = (0.5, 0.8, 0.9)
VOLATILITIES = ("low", "middle", "high")
YARDSTICKS = ("ewma", RANDOM_WALK)
"""The models whose width tells how volatile a symbol was known to be, the first that is there."""

CALIBRATION_COLUMNS = ("model", "horizon", "volatility", *COVERAGE_COLUMNS[2:])
PIT_COLUMNS = ("model", "horizon", "above", "below", "share", "days", "low", "high")


def calibration(forecasts: pd.DataFrame, by_level: bool = False) -> pd.DataFrame:
    """Coverage of the 50, 80 and 90 % intervals by horizon, over all rows and in each tercile of volatility.

    A forecast of constant width may reach 90 % overall and yet hold far too much in calm and far
    too little in stormy markets: its promise must hold in each tercile.

    Args:
        forecasts: a forecasts table.
        by_level: see `volatility`.

    Returns:
        `CALIBRATION_COLUMNS`: for each (model, horizon) rows of volatility "all", "low", "middle" and "high" (see
        `volatility`); low and high bound the day-clustered 95 % band of `metrics.coverage`.
    """
    tercile = volatility(forecasts, by_level)
    parts = [("all", forecasts), *((name, forecasts[tercile == name]) for name in VOLATILITIES)]
    tables = [coverage(rows).assign(volatility=name) for name, rows in parts]
    table = pd.concat(tables)[list(CALIBRATION_COLUMNS)]
    models = list(dict.fromkeys(forecasts["model"]))
    place = table["model"].map(models.index) if len(table) else table["model"]
    ordered = table.assign(place=place).sort_values(["place", "horizon"], kind="stable").drop(columns="place")
    return ordered[ordered["nominal"].isin(NOMINAL)].reset_index(drop=True)


def volatility(forecasts: pd.DataFrame, by_level: bool = False) -> pd.Series:
    """The tercile of volatility in which each row's origin lies: "low", "middle", "high".

    Measured by what was known at the origin: the width of the 80 % interval that the first of `YARDSTICKS` in
    the table gave this symbol, origin and horizon. Without any of them each model is measured by its own.
    Terciles are taken per horizon over all symbols and origins.

    Args:
        by_level: measured by the median and not by the width: the table's quantiles are themselves of a volatility.

    Returns:
        One text per row, on the table's index; missing where the yardstick has no such row.
    """
    width = forecasts[MEDIAN if by_level else "q0.90"].astype("float64") - (0 if by_level else forecasts["q0.10"])
    keys, groups = ["symbol", "origin", "horizon"], ["horizon"]
    yardstick = next((name for name in YARDSTICKS if (forecasts["model"] == name).any()), None)
    if yardstick is None:
        groups = ["model", "horizon"]
    else:
        measured = forecasts[keys].assign(width=width)[forecasts["model"] == yardstick]
        width = forecasts[keys].merge(measured, on=keys, how="left")["width"].set_axis(forecasts.index)
        if width.isna().any():
            log.warning("%d forecasts lie in no tercile: %s lacks their row.", width.isna().sum(), yardstick)
    spread = forecasts[groups].assign(width=width).groupby(groups)["width"]
    low, high = (spread.transform("quantile", share) for share in (1 / 3, 2 / 3))
    text = np.select([width <= low, width <= high, width > high], list(VOLATILITIES), default="")
    return pd.Series(text, index=forecasts.index, dtype="str").replace("", np.nan)


def pit(forecasts: pd.DataFrame) -> pd.DataFrame:
    """Histogram of the probability integral transform: how often the actual fell between neighbouring quantiles.

    19 quantiles make 20 cells, each of which should hold 5 % of the actuals. That is all they say:
    the first and the last cell are the whole tails, in which nothing is assumed about where an actual lies. A
    U says too narrow, a hump too wide, a slope biased. Where an actual equals quantiles (a median of 0
    and an unchanged price), it is shared among the cells that touch there.

    Args:
        forecasts: a forecasts table.

    Returns:
        `PIT_COLUMNS`: 20 rows for each (model, horizon), from above level 0 to below level 1; share with the
        ends of its day-clustered 95 % band (`metrics.coverage`).

    Source: Dawid (1984), JRSS A 147, 278-292; Diebold, Gunther & Tay (1998), International Economic Review 39,
    863-883; the sharing of ties is the non-randomised form of Czado, Gneiting & Held (2009), Biometrics 65, 1254-1261.
    """
    edges = (0.0, *LEVELS, 1.0)
    table = [
        (model, horizon, edges[cell], edges[cell + 1], share, days, low, high)
        for model, horizon, days, found in shares(forecasts, _cells)
        for cell, (share, low, high) in enumerate(found)
    ]
    return pd.DataFrame(table, columns=list(PIT_COLUMNS))


def _cells(quantiles: np.ndarray, actual: np.ndarray) -> list[np.ndarray]:
    """How much of each actual (b,) lies in each of the 20 cells."""
    first = (quantiles < actual[:, None]).sum(axis=1)
    last = (quantiles <= actual[:, None]).sum(axis=1)
    part = 1 / (last - first + 1)
    return [np.where((first <= cell) & (cell <= last), part, 0.0) for cell in range(len(QUANTILES) + 1)]
