"""Which networks learn to remember: adding and recall over long lags, for every cell. Run: python -m benchmarks.memory

    KERAS_BACKEND=jax python -m benchmarks.memory --out results/memory

Every network has the same units, batch, optimiser and rate. New sequences in every gradient step; every
100 steps the mean squared error on 512 sequences of their own is taken, and a run ends when it is below a tenth of
that of answering the mean, or after --steps. Runs that are in --out already are not made again. Then what a step
of each cell costs against LSTM, and the gradients by lag as a figure. JAX is several times faster here.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import groupby, product
from pathlib import Path
from statistics import median

import keras
import numpy as np
import pandas as pd

from app.forecasters.recipe import CELLS, Network
from app.forecasters.start import gpu_visible
from benchmarks import gradients
from benchmarks.learning import AFTER_SHORTER, BASE, SHORTER, VARIANTS, Trial, learn, learner
from benchmarks.results import Results, markdown
from benchmarks.tasks import TASKS

WITH_FORGET_BIAS = ("lstm", "peephole-lstm", "depth-gated-lstm", "bidirectional-lstm", "attention-lstm")
PARTS = ("learn", "cost", "gradients")
QUICK = {"lags": [20], "seeds": [0], "steps": 300, "tasks": ["adding"], "cells": ["simple-rnn", "lstm", "gru"]}
ROUNDS, TIMED_STEPS = 31, 20


def trials(options: argparse.Namespace) -> Iterator[Trial]:
    """All there is of what is asked for, short lags first: not every cell has a forget bias, or weights for any lag."""
    for lag, variant, task, cell, seed in product(
        options.lags, options.variants, options.tasks, options.cells, options.seeds
    ):
        if variant == "forget bias 0" and cell not in WITH_FORGET_BIAS:
            continue
        if variant == AFTER_SHORTER and (lag <= SHORTER or cell == "mlp"):
            continue
        yield Trial(task, lag, cell, variant, seed)


def learn_all(options: argparse.Namespace) -> pd.DataFrame:
    """Make every run that is missing, or that was given up after fewer steps than are asked for now."""
    results = Results(options.out / "memory.csv", list(Trial.__dataclass_fields__))
    missing = [trial for trial in trials(options) if not _made(results.find(asdict(trial)), options.steps)]
    for first, group in groupby(missing, lambda trial: replace(trial, seed=0)):
        keras.backend.clear_session()
        model = learner(first.network, first.length)
        for trial in group:
            row = learn(trial, options.steps, model)
            results.add(row)
            told = f"solved after {row['steps']:,}" if row["solved"] else f"not within {row['steps']:,}"
            print(f"{trial}: {told} steps, error {row['error']:.4f}, {row['cpu_s']} s", flush=True)
    return results.table()


def _made(earlier: pd.Series | None, steps: int) -> bool:
    return earlier is not None and bool(earlier["solved"] or earlier["steps"] >= steps)


def learnt_table(results: pd.DataFrame, task: str, variant: str) -> str:
    """Cells down, lags across: how many seeds solved the task, and the steps they took."""
    chosen = results[(results["task"] == task) & (results["variant"] == variant)]
    lags = sorted(chosen["lag"].unique())
    cells = [cell for cell in CELLS if cell in set(chosen["cell"])]
    runs = dict(list(chosen.groupby(["cell", "lag"])))
    rows = [[cell, *(_told(runs.get((cell, lag))) for lag in lags)] for cell in cells]
    return markdown([f"{task}, {variant}", *(f"lag {lag:,}" for lag in lags)], rows)


def _told(runs: pd.DataFrame | None) -> str:
    """Seeds that solved it, with the median and range of their steps; the steps at which the others were given up."""
    if runs is None:
        return "not run"
    steps = runs.loc[runs["solved"], "steps"]
    told = f"{len(steps)} of {len(runs)}"
    if len(steps):
        told += f": {steps.median():,.0f} ({steps.min():,} to {steps.max():,})"
    if len(steps) < len(runs):
        told += f"; not within {runs.loc[~runs['solved'], 'steps'].min():,}"
    return told


def costs(cells: Sequence[str], network: Network, lag: int) -> pd.DataFrame:
    """Parameters and seconds of a gradient step, as multiples of LSTM's; all cells take turns.

    Seconds are of the processor; of the clock where a GPU is visible, since it works while the processor waits. One
    row more is an LSTM with recurrent dropout: what it costs to leave cuDNN, where there is one.

    Returns:
        One row a cell: cell, parameters, parameters_ratio, ms (the median), ms_ratio (median over rounds of
        the ratio in the same round), low, high (its quartiles).
    """
    rows, answers = TASKS["adding"](TIMED_STEPS * network.batch, lag, np.random.default_rng(0))
    compared = {cell: replace(network, cell=cell) for cell in ("lstm", *cells)}
    compared["lstm, recurrent dropout"] = replace(network, cell="lstm", recurrent_dropout=0.1)
    models = {name: learner(one, lag) for name, one in compared.items()}
    clock = time.perf_counter if gpu_visible() else time.process_time
    seconds: dict[str, list[float]] = {cell: [] for cell in models}
    for number in range(1 + ROUNDS):
        for cell, model in models.items():
            began = clock()
            model.fit(rows, answers, batch_size=network.batch, shuffle=False, verbose=0)
            if number:
                seconds[cell].append(clock() - began)
    table = []
    for cell, model in models.items():
        ratios = [own / other for own, other in zip(seconds[cell], seconds["lstm"], strict=True)]
        size = model.count_params()
        share, ms = size / models["lstm"].count_params(), 1000 * median(seconds[cell]) / TIMED_STEPS
        table.append((cell, size, share, ms, *np.quantile(ratios, (0.5, 0.25, 0.75))))
    columns = ["cell", "parameters", "parameters_ratio", "ms", "ms_ratio", "low", "high"]
    return pd.DataFrame(table, columns=columns)


def costs_table(costs: pd.DataFrame) -> str:
    """What `costs` found, as Markdown."""
    header = ["cell", "parameters", "over lstm's", "ms a step", "over lstm's", f"middle half of {ROUNDS} rounds"]
    form = "{cell}|{parameters:,}|{parameters_ratio:.2f}|{ms:.2f}|{ms_ratio:.2f}|{low:.2f} to {high:.2f}"
    return markdown(header, [form.format(**row).split("|") for row in costs.to_dict("records")])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is asked for, and print every table that the results so far allow."""
    options = _options(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    if "learn" in options.parts:
        results = learn_all(options)
        for task, variant in product(TASKS, VARIANTS):
            if len(results[(results["task"] == task) & (results["variant"] == variant)]):
                print(f"\n{learnt_table(results, task, variant)}")
    if "cost" in options.parts:
        network = replace(BASE, units=options.units, batch=options.batch)
        table = costs(options.cells, network, options.lags[0])
        backend = keras.backend.backend()
        table.to_csv(options.out / f"cost-{backend}-{options.lags[0]}-{options.units}-{options.batch}.csv", index=False)
        print(f"\n{backend}, {options.lags[0]} rows, {options.units} units, batches of {options.batch}\n")
        print(costs_table(table))
    if "gradients" in options.parts:
        gradients.draw(options.out, learnt_lag=20 if options.quick else 200, cap=options.steps)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--quick", action="store_true", help="three cells, one seed, lag 20: a minute")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument("--lags", nargs="+", type=int, default=[50, 200, 1000])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--steps", type=int, default=4000, help="gradient steps after which a run is given up")
    parser.add_argument("--units", type=int, default=BASE.units, help="of the networks whose cost is measured")
    parser.add_argument("--batch", type=int, default=BASE.batch, help="of the same")
    options = parser.parse_args(arguments)
    if options.quick:
        vars(options).update(QUICK)
    return options


if __name__ == "__main__":
    main()
