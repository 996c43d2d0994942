"""A data set of Feng et al. (2019) run again: published, ours and the trivial rules in one table."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from app.reproduce import scores
from app.reproduce.acl18 import PAPER, DataSet, Grid, Instances, PublishedNetwork, load_grid, split
from app.reproduce.rules import RULES, always_up
from app.reproduce.scores import Statistic, day_counts
from app.reproduce.settings import Reproduction

log = logging.getLogger(__name__)

OURS, RULE = "ours", "rule"
TABLE_COLUMNS = (
    *("who", "model", "accuracy", "accuracy_sd", "accuracy_low", "accuracy_high"),
    *("mcc", "mcc_sd", "mcc_low", "mcc_high", "gain", "gain_low", "gain_high", "days"),
)
"""gain: accuracy less that of always up on the same rows. sd: between seeds. low, high: 95 %, day-clustered."""


@dataclass(frozen=True, eq=False)
class Study:
    """A reproduction.

    table: one row for each model, numbers as shares; runs: one row for each network trained; forecasts: one
    row for each forecast; sentences: what is concluded; text: all of it for a person.
    """

    name: str
    table: pd.DataFrame
    runs: pd.DataFrame
    forecasts: pd.DataFrame
    sentences: tuple[str, ...]
    text: str


@dataclass(frozen=True, eq=False)
class Run:
    """One trained network: score (n,) of the test instances, positive for up."""

    seed: int
    epoch: int
    validation_accuracy: float
    score: np.ndarray


def reproduce(data: DataSet, folder: Path, choice: Reproduction, seed: int = 0) -> Study:
    """Check the data, train every network over several seeds, and set all results side by side.

    Args:
        folder: of the data set, one CSV file a symbol.
        seed: the first; others follow it.

    Raises:
        SettingsError: there is no such folder.
        DataError: it does not hold the data set.
        TrainingError: a network gave nothing finite.
    """
    grid = load_grid(data, folder)
    rows = [_published(who, name, accuracy, mcc) for who, name, accuracy, mcc in data.published]
    runs, sentences, forecasts = [], [], []
    for network in data.networks:
        test, trained = _train(data, grid, network, choice, seed)
        row, described = _scored(OURS, network.name, test, [run.score > 0 for run in trained])
        rows.append(row)
        sentences.append(_sentence(data, row))
        runs += [{"model": network.name, **one} for one in _described(trained, described)]
        forecasts += [_forecasts(network.name, test, run) for run in trained]
    test = split(grid, data, min(network.lookback for network in data.networks))[2]
    rows += [_scored(RULE, name, test, [rule(test)])[0] for name, rule in RULES.items()]
    table = pd.DataFrame(rows, columns=list(TABLE_COLUMNS))
    found = (table, pd.DataFrame(runs), pd.concat(forecasts, ignore_index=True), tuple(sentences))
    return Study(data.name, *found, text=_text(data, *found))


def _train(
    data: DataSet, grid: Grid, network: PublishedNetwork, choice: Reproduction, first: int
) -> tuple[Instances, list[Run]]:
    """The test instances, and one run for each seed."""
    from app.reproduce.networks import train_direction  # Keras starts here: not for data that are refused

    parts = split(grid, data, network.lookback)
    runs = []
    for seed in range(first, first + (choice.seeds or data.protocol.seeds)):
        trained = train_direction(network, data.protocol, parts, seed, choice.epochs)
        runs.append(Run(seed, trained.epoch, trained.curve[trained.epoch - 1], trained.score))
        right = np.mean((trained.score > 0) == parts[2].up)
        log.info("%s, seed %d: epoch %d, test accuracy %.4f", network.name, seed, trained.epoch, right)
    return parts[2], runs


def _published(who: str, name: str, accuracy: float, mcc: float) -> dict:
    return {"who": who, "model": name, "accuracy": accuracy, "mcc": mcc}


def _scored(who: str, name: str, test: Instances, said: Sequence[np.ndarray]) -> tuple[dict, list]:
    """One row of the table, and (accuracy, MCC) of each of the forecasts."""
    counts = [day_counts(test.day, test.up, forecast) for forecast in said]
    each = {"accuracy": [scores.accuracy(one) for one in counts], "mcc": [scores.mcc(one) for one in counts]}
    up = scores.accuracy(day_counts(test.day, test.up, always_up(test)))
    row = {"who": who, "model": name, "days": len(counts[0])}
    for measure, values in each.items():
        row |= _columns(measure, scores.mean(values))
        row[f"{measure}_sd"] = np.std([one.value for one in values], ddof=1) if len(values) > 1 else np.nan
    row |= _columns("gain", scores.difference(scores.mean(each["accuracy"]), up))
    return row, [(one.value, other.value) for one, other in zip(*each.values(), strict=True)]


def _columns(measure: str, statistic: Statistic) -> dict:
    low, high = statistic.interval
    return {measure: statistic.value, f"{measure}_low": low, f"{measure}_high": high}


def _described(trained: list[Run], described: list) -> list[dict]:
    return [
        {"seed": run.seed, "epoch": run.epoch, "validation": run.validation_accuracy, "accuracy": accuracy, "mcc": mcc}
        for run, (accuracy, mcc) in zip(trained, described, strict=True)
    ]


def _forecasts(name: str, test: Instances, run: Run) -> pd.DataFrame:
    return pd.DataFrame(
        {"model": name, "seed": run.seed, "symbol": test.symbol, "date": test.day, "score": run.score, "up": test.up}
    )


def _sentence(data: DataSet, row: dict) -> str:
    """What a network's row says, and no more."""
    published = next(value for who, name, value, _ in data.published if (who, name) == (PAPER, row["model"]))
    inside = row["accuracy_low"] <= published <= row["accuracy_high"]
    skill = "more than always up says" if row["gain_low"] > 0 else "no evidence of more than always up says"
    return (
        f"{row['model']}: accuracy {100 * row['accuracy']:.2f} %, {100 * row['gain']:+.1f} points beside always up, "
        f"95 % interval {100 * row['gain_low']:+.1f} to {100 * row['gain_high']:+.1f}, {row['days']} days: {skill}. "
        f"MCC {row['mcc']:.3f}, 95 % interval {row['mcc_low']:.3f} to {row['mcc_high']:.3f}: "
        f"{'above 0' if row['mcc_low'] > 0 else 'no evidence that it is above 0'}. "
        f"The published {100 * published:.2f} % lies {'inside' if inside else 'outside'} our 95 % interval, "
        f"{100 * row['accuracy_low']:.1f} to {100 * row['accuracy_high']:.1f} %."
    )


def _text(
    data: DataSet, table: pd.DataFrame, runs: pd.DataFrame, forecasts: pd.DataFrame, sentences: tuple[str, ...]
) -> str:
    """The table in percent, the sentences, and every run."""
    shown = pd.DataFrame(
        {
            "who": table["who"],
            "model": table["model"],
            "accuracy %": _with_spread(100 * table["accuracy"], 100 * table["accuracy_sd"], 2),
            "95 % interval": _range(100 * table["accuracy_low"], 100 * table["accuracy_high"], 1),
            "MCC": _with_spread(table["mcc"], table["mcc_sd"], 4),
            "95 % interval ": _range(table["mcc_low"], table["mcc_high"], 3),
            "beside always up": _range(100 * table["gain_low"], 100 * table["gain_high"], 1),
        }
    )
    listed = runs.assign(**{name: (100 * runs[name]).round(2) for name in ("validation", "accuracy")})
    counts = ", ".join(
        f"{' / '.join(f'{count:,}' for count in wanted)} at {lookback} sessions"
        for lookback, wanted in data.instances.items()
    )
    head = f"{data.name}: instances for training / validation / test {counts}, as published"
    note = (
        "intervals: days are the sample, by blocks of days; ± is the spread between seeds, which they do not cover; "
        "beside always up: 95 % interval of the difference in accuracy on the same rows, in points"
    )
    seeds = listed.round(4).to_string(index=False)
    return "\n\n".join([head, f"{shown.to_string(index=False)}\n{note}", "\n".join(sentences), f"every run:\n{seeds}"])


def _with_spread(value: pd.Series, spread: pd.Series, digits: int) -> list[str]:
    return [
        f"{one:.{digits}f}" + ("" if np.isnan(sd) else f" ± {sd:.{digits}f}")
        for one, sd in zip(value, spread, strict=True)
    ]


def _range(low: pd.Series, high: pd.Series, digits: int) -> list[str]:
    return [
        "–" if np.isnan(one) else f"{one:.{digits}f} to {other:.{digits}f}"
        for one, other in zip(low, high, strict=True)
    ]
