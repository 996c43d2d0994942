"""What the conformal correction restores and what it costs, over periods of years of a back test:

    python -m app backtest --prices us_daily.parquet --test-start 2004-01-01 --test-end 2013-12-31 \
        --models ewma har-x --out results
    python -m benchmarks.conformal --forecasts results/forecasts.parquet

Every period is corrected from its own first day on, as a back test of those years would be. Printed for each model and
horizon, over all periods: how far coverage of 50, 80 and 90 % is off, over all rows and in terciles of volatility,
before and after; and the CRPS after over that before.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from app.evaluation.calibration import calibration
from app.evaluation.conformal import SUFFIX, conformal
from app.evaluation.metrics import day_means
from app.schema import MEDIAN, QUANTILES

NARROW = 0.8
"""Forecasts are tried as they are and with their quantiles drawn so near to the median."""


def off(forecasts: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Points by which coverage is off, by model and horizon: (the worst of all rows, the worst tercile)."""
    table = calibration(forecasts)
    table = table.assign(points=100 * (table["reached"] - table["nominal"]).abs())
    whole = table["volatility"] == "all"
    all_rows, terciles = (table[rows].groupby(["model", "horizon"])["points"].max() for rows in (whole, ~whole))
    return all_rows, terciles


def period(forecasts: pd.DataFrame) -> pd.DataFrame:
    """One row for each model and horizon of a period: points off before and after, and what it costs."""
    both = pd.concat([forecasts, conformal(forecasts)], ignore_index=True)
    all_rows, terciles = off(both)
    crps = day_means(both).groupby("horizon").mean()
    rows = []
    for model in forecasts["model"].unique():
        for horizon in crps.index:
            before, after = (model, horizon), (model + SUFFIX, horizon)
            cost = crps.loc[horizon, model + SUFFIX] / crps.loc[horizon, model]
            found = (all_rows[before], all_rows[after], terciles[before], terciles[after], cost)
            rows.append((model, horizon, *found))
    return pd.DataFrame(
        rows, columns=["model", "h", "all before", "all after", "terciles before", "terciles after", "cost"]
    )


def narrowed(forecasts: pd.DataFrame) -> pd.DataFrame:
    """The same forecasts, too sure of themselves."""
    median = forecasts[MEDIAN].to_numpy()[:, None]
    closer = median + NARROW * (forecasts[list(QUANTILES)].to_numpy() - median)
    table = forecasts.assign(**dict(zip(QUANTILES, closer.T, strict=True)))
    return table.assign(model=forecasts["model"] + ", narrowed")


def main() -> None:
    """Correct every period, and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--forecasts", type=Path, required=True, help="forecasts.parquet of a back test")
    parser.add_argument("--years", type=int, default=4, help="of a period; the next begins half as many later")
    options = parser.parse_args()
    table = pd.read_parquet(options.forecasts)
    table = table[~table["model"].str.endswith(SUFFIX)]
    table = pd.concat([table, narrowed(table[table["model"] == table["model"].iloc[-1]])], ignore_index=True)
    years = table["origin"].dt.year
    starts = range(years.min(), years.max() - options.years + 2, max(1, options.years // 2))
    found = pd.concat([period(table[years.between(start, start + options.years - 1)]) for start in starts])
    print(f"{len(starts)} periods of {options.years} years from {starts[0]}: mean (worst)\n")
    print("| " + " | ".join(["model", "h", *(f"{name}, points off" for name in found.columns[2:6]), "CRPS"]) + " |")
    print("|" + "---|" * 7)
    for (model, horizon), rows in found.groupby(["model", "h"], sort=False):
        points = [f"{rows[name].mean():.1f} ({rows[name].max():.1f})" for name in found.columns[2:6]]
        print(
            f"| {model} | {horizon} | "
            + " | ".join(points)
            + f" | {np.mean(rows['cost']):.4f} ({rows['cost'].max():.4f}) |"
        )


if __name__ == "__main__":
    main()
