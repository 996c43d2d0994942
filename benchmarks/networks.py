"""Every network on real prices in one table. Run: python -m benchmarks.networks --prices us_daily.parquet --out DIR

The first 50 symbols by name with 3,000 sessions or more; trained to 2010, validated on 2011, scored on the origins of
2012 and 2013; no later price is read. Every network with the default settings but what its name says, from three
seeds, against gjr-garch on the same rows. Finished trainings are found in --out and are not made again; gjr-garch is
fitted once. Targets a second: what a training learnt from over the processor time of all of it, tracing and validation
included, and that over lstm's from the same seed.
"""

import argparse
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from app.atomic import publish_file
from app.dataset import make_windows
from app.dataset.windows import Windows, WindowSpec
from app.evaluation.backtest import split
from app.evaluation.metrics import losses
from app.forecasters.base import forecasts_table
from app.forecasters.garch import Garch
from app.forecasters.recipe import CELLS, SHAPES, Network
from app.insight.memory import half_lives, rows_asked, sensitivities
from app.insight.sample import spread
from app.prices.quality import inspect, sound
from app.prices.sources import Files
from benchmarks.results import Results, markdown

STOP, LEARNT, TESTED = np.datetime64("2013-12-31"), np.datetime64("2011-12-31"), np.datetime64("2012-01-01")
SESSIONS, VALIDATION = 3000, 252
ALONE = Network(frame="ewma", median_gain=1.0, years=0, updates=500, learning_rate=3e-3)
"""What a network finds out by itself: nothing beneath it, all of the past, a training that goes on for longer."""

NETWORKS: Mapping[str, Network] = {
    **{cell: replace(ALONE, cell=cell) for cell in CELLS},
    "lstm, 2 layers": replace(ALONE, layers=2),
    **{f"lstm, {shape}": replace(ALONE, shape=shape) for shape in SHAPES if shape != ALONE.shape},
}
"""What is compared, by the name it has in the table."""

REMEMBERED, WINDOWS_ASKED = 250, 32


def dev_windows(path: Path, count: int) -> tuple[Windows, Windows, Windows]:
    """Windows to train on, to validate on and to score, of the first `count` symbols with a long history."""
    raw = Files(path).table(None, None, STOP)
    sizes = raw.groupby("symbol", observed=True).size()
    chosen = raw[raw["symbol"].isin(sizes.index[sizes >= SESSIONS][:count])].reset_index(drop=True)
    windows = make_windows(sound(chosen, inspect(chosen)), WindowSpec())
    return *split(windows.known_by(LEARNT), VALIDATION), windows.originating(TESTED, STOP + 1)


def crps_by_symbol(windows: Windows, quantiles: np.ndarray) -> pd.Series:
    """Mean CRPS by (symbol, horizon), of the forecasts whose actual is known."""
    return losses(forecasts_table("model", windows, quantiles)).groupby(["symbol", "horizon"])["loss"].mean()


def reference_scores(place: Path, train: Windows, validation: Windows, test: Windows) -> pd.Series:
    """CRPS of gjr-garch by (symbol, horizon): from the file at `place`, or fitted now and kept there."""
    if not place.exists():
        fitted = Garch(asymmetric=True).fit(train, validation)
        scores = crps_by_symbol(test, fitted.predict(test))
        publish_file(place, lambda draft: scores.to_csv(draft))
    return pd.read_csv(place).set_index(["symbol", "horizon"])["loss"]


def judged(recipe: Network, parts: tuple[Windows, Windows, Windows], reference: pd.Series) -> dict[str, float]:
    """Train once: parameters, processor seconds, mean over symbols of CRPS over the reference's, half-lives."""
    train, validation, test = parts
    began = time.process_time()
    fitted = recipe.fit(train, validation)
    found = {"parameters": fitted.models[0].count_params(), "train_cpu_s": time.process_time() - began}
    found |= {"epochs": len(fitted.curve), "targets": len(fitted.curve) * targets_an_epoch(recipe, train)}
    ratios = (crps_by_symbol(test, fitted.predict(test)) / reference).groupby("horizon").mean()
    found |= {f"crps_{horizon}": ratio for horizon, ratio in ratios.items()}
    asked = spread(test, WINDOWS_ASKED)
    rows = rows_asked(fitted.models, asked, REMEMBERED)
    for life in half_lives(*sensitivities(fitted.models, asked, rows)).itertuples():
        found[f"half_life_{life.part}_{life.horizon}"] = life.half_life
    return {**found, "rows_asked": rows}


def targets_an_epoch(recipe: Network, train: Windows) -> int:
    """Numbers that one epoch learns from: those known in its gradient steps, all chunks being alike."""
    targets = train.chunks(recipe.steps).targets
    used = min(recipe.updates, max(1, len(targets) // recipe.batch)) * recipe.batch
    return round(np.isfinite(targets).mean() * targets[0].size * min(used, len(targets)))


def judge_all(options: argparse.Namespace, parts: tuple[Windows, Windows, Windows]) -> pd.DataFrame:
    """Make every training that is missing; one row for each (network, seed)."""
    reference = reference_scores(options.out / "gjr-garch.csv", *parts)
    results = Results(options.out / "networks.csv", ["network", "seed"])
    for seed in options.seeds:
        for name in options.networks:
            if results.find({"network": name, "seed": seed}) is not None:
                continue
            keras.backend.clear_session()
            recipe = replace(NETWORKS[name], seed=seed, epochs=options.epochs)
            row = judged(recipe, parts, reference)
            results.add({"network": name, "seed": seed, "backend": keras.backend.backend(), **row})
            told = ", ".join(f"{key} {value:.4g}" for key, value in row.items())
            print(f"{name}, seed {seed}: {told}", flush=True)
    return results.table()


def table(results: pd.DataFrame) -> str:
    """One row a network: the mean over seeds, of speeds the median, then the seeds; half-lives of the width."""
    results = results.assign(rate=results["targets"] / results["train_cpu_s"])
    yardstick = results[results["network"] == "lstm"].set_index("seed")["rate"]
    rows = []
    for name, runs in results.groupby("network", sort=False):
        rates = runs.set_index("seed")["rate"]
        ratios = rates / yardstick.reindex(rates.index)
        rows.append(
            [name, f"{runs['parameters'].iloc[0]:,}", f"{rates.median() / 1000:,.0f}"]
            + [_seeds(ratios.median(), ratios, ".2f")]
            + [_seeds(scores.mean(), scores, ".4f") for scores in (runs[f"crps_{horizon}"] for horizon in (1, 5, 20))]
            + [_seeds(lives.mean(), lives, ".1f") for lives in (runs["half_life_width_1"], runs["half_life_width_20"])]
        )
    header = ["network", "parameters", "targets a second, thousands", "over lstm's", "CRPS, h = 1", "h = 5", "h = 20"]
    return markdown([*header, "half-life, sessions: h = 1", "h = 20"], rows)


def _seeds(middle: float, values: pd.Series, form: str) -> str:
    return f"{middle:{form}} ({', '.join(format(value, form) for value in values)})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, score and time every network asked for, and print the table."""
    options = _options(arguments)
    logging.basicConfig(level=logging.WARNING)
    parts = dev_windows(options.prices, options.symbols)
    print(f"{len(parts[0].panel.symbols)} symbols, windows {[len(part) for part in parts]}", flush=True)
    print(table(judge_all(options, parts)))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prices", type=Path, required=True, help="file or folder of daily prices that reach to 2013")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--symbols", type=int, default=50, help="the first so many by name")
    parser.add_argument("--epochs", type=int, default=ALONE.epochs, help="at most so many for each training")
    parser.add_argument("--quick", action="store_true", help="two networks, five symbols, one seed, one epoch")
    options = parser.parse_args(arguments)
    if options.quick:
        vars(options).update(networks=["lstm", "gru"], seeds=[0], symbols=5, epochs=1)
    return options


if __name__ == "__main__":
    main()
