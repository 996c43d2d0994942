"""What each gate is worth on real prices. Run: python -m benchmarks.knockout --prices us_daily.parquet --out DIR

Tutorials say that the gates of an LSTM matter in the order forget > input > output. Each network of
`benchmarks.networks` is trained from each seed on the first 50 symbols by name to 2010, validated on 2011; then each of
its gates is held in turn while it forecasts from 2012 and 2013 (`app.insight.knockout`). No later price is read.
Finished runs are found in --out and are not made again. Days are the sample, so that days are taken whole. Networks are
replayed row by row in NumPy: 1,000 windows take 1.2 (gru) to 1.9 (lstm) processor seconds, so that all 24,100 with
known actuals, 482 days, stay within a minute a network and seed.
"""

import argparse
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from app.dataset.windows import Windows
from app.forecasters.recipe import Network
from app.insight.gates import watched_members
from app.insight.knockout import knockout
from benchmarks.networks import NETWORKS, STOP, dev_windows
from benchmarks.results import Results, markdown

WATCHED = 256
"""Windows from which the means of the gates are taken, as an inspection takes them."""

RUN = ["network", "seed"]
COSTS = (
    "CRPS with one gate held ({}) over that as trained, less 1, in percent: mean over seeds (the seeds). "
    "* the 95 % interval of that seed, days being the sample, excludes 0."
)
ORDERS = (
    "Gates by what holding them ({}) costs, dearest first, in each seed; in brackets the p-value of each step to the "
    "next. The order is chosen on the days that it is tested on, which flatters the p-values."
)


def even_days(windows: Windows, count: int) -> Windows:
    """All windows of evenly spread days: about `count`, and at least one day.

    Tests still allow for forecasts of so many neighbouring origins as the horizon has sessions. Where days are left
    out, that is more overlap than there is.
    """
    days, sizes = np.unique(windows.origin, return_counts=True)
    kept = int(np.clip(count // max(sizes), 1, len(days)))
    chosen = days[np.linspace(0, len(days) - 1, kept).round().astype(int)]
    return Windows(windows.panel, windows.ends[np.isin(windows.origin, chosen)])


def measured(recipe: Network, parts: tuple[Windows, Windows, Windows]) -> tuple[dict, pd.DataFrame, pd.DataFrame]:
    """Train once and hold every gate: what it took, what each gate costs, and their order with its steps numbered."""
    train, validation, asked = parts
    began = time.process_time()
    fitted = recipe.fit(train, validation)
    trained = time.process_time()
    framed = fitted.framed(asked)
    costs, order = knockout(fitted.models, framed, watched_members(fitted.models, framed, WATCHED))
    took = {"train_cpu_s": trained - began, "knockout_cpu_s": time.process_time() - trained}
    took |= {"windows": len(asked), "days": len(np.unique(asked.origin))}
    return took, costs, order.assign(step=order.groupby(["over", "held", "horizon"]).cumcount() + 1)


def measure_all(options: argparse.Namespace, parts: tuple[Windows, Windows, Windows]) -> tuple:
    """Make every run that is missing; the costs and orders of all. A run is noted once its rows are kept."""
    runs = Results(options.out / "runs.csv", RUN)
    costs = Results(options.out / "knockout.csv", [*RUN, "over", "held", "gate", "horizon"])
    orders = Results(options.out / "order.csv", [*RUN, "over", "held", "horizon", "step"])
    for seed, name in product(options.seeds, options.networks):
        key = {"network": name, "seed": seed}
        if runs.find(key) is not None:
            continue
        keras.backend.clear_session()
        took, *found = measured(replace(NETWORKS[name], seed=seed, epochs=options.epochs), parts)
        for kept, table in zip((costs, orders), found, strict=True):
            for row in table.to_dict("records"):
                kept.add({**key, **row})
        runs.add({**key, "backend": keras.backend.backend(), **took})
        print(f"{name}, seed {seed}: {', '.join(f'{what} {value:.5g}' for what, value in took.items())}", flush=True)
    return costs.table(), orders.table()


def costs_table(costs: pd.DataFrame) -> str:
    """One row a network and gate, one column a horizon."""
    horizons, rows = sorted(costs["horizon"].unique()), []
    for (name, over, gate), found in costs.groupby(["network", "over", "gate"], sort=False):
        cells = [_seeds(found[found["horizon"] == horizon].sort_values("seed")) for horizon in horizons]
        rows.append([_called(name, over), gate, *cells])
    return markdown(["network", "gate", *(f"h = {horizon}" for horizon in horizons)], rows)


def orders_table(orders: pd.DataFrame) -> str:
    """One row a network and horizon, one column a seed."""
    seeds, rows = sorted(orders["seed"].unique()), []
    for (name, over, horizon), found in orders.groupby(["network", "over", "horizon"], sort=False):
        rows.append([_called(name, over), horizon, *(_steps(found[found["seed"] == seed]) for seed in seeds)])
    return markdown(["network", "h", *(f"seed {seed}" for seed in seeds)], rows)


def tables(costs: pd.DataFrame, orders: pd.DataFrame) -> str:
    """Both tables for each way of holding a gate, each under its caption."""
    found = []
    for way in dict.fromkeys(costs["held"]):
        found += [COSTS.format(way), costs_table(costs[costs["held"] == way])]
        found += [ORDERS.format(way), orders_table(orders[orders["held"] == way])]
    return "\n\n".join(found)


def _called(name: str, over: str) -> str:
    return name if over == "rows" else f"{name}, over its {over}"


def _seeds(found: pd.DataFrame) -> str:
    stars = np.where((found["low"] > 0) | (found["high"] < 0), "*", "")
    told = [f"{value:+.3f}{star}" for value, star in zip(100 * found["difference"], stars, strict=True)]
    return f"{100 * found['difference'].mean():+.3f} ({', '.join(told)})"


def _steps(found: pd.DataFrame) -> str:
    if found.empty:
        return "not run"
    found = found.sort_values("step")
    told = " > ".join([*found["gate"], found["next"].iloc[-1]])
    return f"{told} ({', '.join('<0.001' if value < 0.001 else f'{value:.3f}' for value in found['p_value'])})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Train every network asked for, hold its gates, and print the tables."""
    options = _options(arguments)
    logging.basicConfig(level=logging.WARNING)
    train, validation, test = dev_windows(options.prices, options.symbols)
    asked = even_days(test.known_by(STOP), options.windows)
    print(f"{len(asked):,} windows on {len(np.unique(asked.origin))} days", flush=True)
    print(tables(*measure_all(options, (train, validation, asked))))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prices", type=Path, required=True, help="file or folder of daily prices that reach to 2013")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    gated = ["lstm", "peephole-lstm", "gru"]
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=gated)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--symbols", type=int, default=50, help="the first so many by name")
    parser.add_argument("--epochs", type=int, default=3, help="at most so many for each training")
    parser.add_argument("--windows", type=int, default=25_000, help="at most so many, of whole days")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
