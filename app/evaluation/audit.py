"""Does any forecast know the future? Checks on a whole pipeline: prices, windows, folds, fits and forecasts.

The past is left as it is and the future is changed: removed, then turned to noise. Whatever changes with
it, at or before the origin, has seen it. Any pipeline can be the subject, not only that of this application.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from app.dataset.windows import Windows
from app.errors import DataError
from app.evaluation.alarms import Finding, no_copy, plausible
from app.evaluation.trials import CHANGES, Pipeline, Trial, Walk, World, altered, observe, rows_in, world
from app.forecasters.base import Recipe

log = logging.getLogger(__name__)

TOLERANCE = 1e-6
"""Forecasts may differ by so much of their largest quantile: the order in which floats are added up."""

NEWEST = 5
"""Newest sessions up to an origin whose forecasts are made again: what looks ahead does so there."""


def _as_delivered(prices: pd.DataFrame) -> pd.DataFrame:
    return prices


@dataclass(frozen=True, eq=False)
class Subject:
    """What is audited.

    prices: price table, as delivered. walk: the back test, which gets the recipes watched. clean: makes
    of `prices` what `pipeline` takes; the future is changed after it, as noise is what it would throw away.
    """

    prices: pd.DataFrame
    pipeline: Pipeline
    recipes: Mapping[str, Recipe]
    walk: Walk
    clean: Callable[[pd.DataFrame], pd.DataFrame] = _as_delivered


def audit(subject: Subject, origins: int = 6) -> list[Finding]:
    """Every check, on the subject's own prices.

    Args:
        origins: sessions, spread over the test period, after which the future is changed.

    Returns:
        One finding a check; of `copy` and `accuracy` one a model, where the target is a return or its direction:
        nobody knows yet what is implausible of a volatility.

    Raises:
        DataError: the back test made no forecast.
    """
    prices = subject.clean(subject.prices)
    truth = subject.pipeline(prices)
    table, trials = observe(truth, subject.recipes, subject.walk)
    if not trials:
        raise DataError("audit: the back test fitted no model that made a forecast; name some with --models.")
    found: list[Finding] = []
    for day in _spread(trials, origins):
        found.append(cleaning_known(subject, prices, day))
        for change in CHANGES:
            log.info("audit: rows after %s %s", day, change)
            other = world(prices, subject.pipeline, truth, day, change)
            found += [features_known(truth, other), scale_known(truth, other), targets_known(truth, other)]
            found.append(forecasts_known(trials, other))
    found += _fits(partial(world, prices, subject.pipeline, truth, change=CHANGES[1]), truth, trials)
    found += [check(trial) for check in (purged, unseen) for trial in trials]
    for name in subject.recipes if truth.target.signed else ():
        own = [trial for trial in trials if trial.model == name]
        found += [no_copy(name, own), plausible(name, own, table)]
    return _merged(found)


def cleaning_known(subject: Subject, cleaned: pd.DataFrame, day: np.datetime64) -> Finding:
    """What is left out of the prices up to the day is the same without the rows after it."""
    then = cleaned[cleaned["date"] <= pd.Timestamp(day)]
    now = subject.clean(altered(subject.prices, day, "removed"))
    odd = pd.concat([then, now]).drop_duplicates(keep=False)
    if len(odd):
        where = f"{odd['symbol'].iloc[0]} {odd['date'].iloc[0].date()}"
        words = f"{len(odd)} rows up to {day} are judged otherwise without later rows, first {where}"
        return Finding("cleaning", False, words)
    return Finding("cleaning", True, f"{len(then):,} rows up to {day} are judged the same without later rows")


def features_known(truth: Windows, other: World) -> Finding:
    """Features and outlook up to the day are the same, bit for bit, whatever comes after it."""
    return _unchanged("features", truth, other, lambda one: np.hstack([one.panel.features, one.panel.outlook]))


def scale_known(truth: Windows, other: World) -> Finding:
    """The volatility that scales returns is the same up to the day, bit for bit."""
    return _unchanged("scale", truth, other, lambda windows: windows.panel.volatility[:, None])


def targets_known(truth: Windows, other: World) -> Finding:
    """What could be learnt from on the day is the same, and no target is told before its session."""
    day, panel, there = other.day, truth.panel, other.windows.panel
    mine, others = truth.known_by(day).ends, other.windows.known_by(day).ends
    comparable = mine[_present(truth, other)[mine]]
    rows = other.row[comparable]
    same = (rows >= 0) & rows_in(there, others)[rows]
    same &= (panel.target[comparable] == there.target[rows]).all(axis=1)
    same &= (panel.actual[comparable] == there.actual[rows]).all(axis=1)
    if not same.all() or len(others) != len(comparable):
        changed = int((~same).sum()) or abs(len(others) - len(comparable))
        return Finding("targets", False, f"{changed} of {len(comparable):,} training windows change with {other.words}")
    early = (there.target > day) & np.isfinite(there.actual) if other.change == "removed" else np.zeros(1, bool)
    if early.any():
        words = f"{int(early.sum())} targets are told of sessions that are not there with {other.words}"
        return Finding("targets", False, words)
    return Finding("targets", True, f"{len(comparable):,} training windows unchanged with {other.words}")


def forecasts_known(trials: Iterable[Trial], other: World) -> Finding:
    """A model fitted before the day makes the same forecasts up to it, whatever comes after it."""
    made, worst = 0, (0.0, "")
    for trial in trials:
        origin = trial.tested.origin
        if not origin.min() <= other.day <= origin.max():
            continue
        recent = np.unique(origin[origin <= other.day])[-NEWEST:]
        chosen = np.flatnonzero(np.isin(origin, recent) & (other.row[trial.tested.ends] >= 0))
        if len(chosen) == 0:
            continue
        again = _predicted(trial, Windows(other.windows.panel, other.row[trial.tested.ends[chosen]]))
        worst = max(worst, (_deviation(trial.forecasts[chosen], again), trial.model))
        made += len(chosen)
    if worst[0] > TOLERANCE:
        return Finding("forecasts", False, f"{worst[1]} forecasts otherwise, by {worst[0]:.1e}, with {other.words}")
    words = f"{made} forecasts made again with {other.words}, the same to within {TOLERANCE:g}"
    return Finding("forecasts", True, words)


def fit_known(trial: Trial, truth: Windows, other: World) -> Finding:
    """Fitted again with noise after the cutoff, the model forecasts the same for the same windows."""
    sets = []
    for given in (trial.train, trial.validation):
        rows = other.row[given.ends]
        if (rows < 0).any():
            words = f"{trial.model}: {int((rows < 0).sum())} training windows are gone with {other.words}"
            return Finding("fit", False, words)
        sets.append(Windows(other.windows.panel, rows))
    again = trial.recipe.fit(*sets).predict(trial.tested)
    away = _deviation(trial.forecasts, again)
    if away > TOLERANCE:
        words = f"{trial.model}: fitted with {other.words} it forecasts otherwise, by {away:.1e}"
        return Finding("fit", False, words)
    words = f"{trial.model}: fitted with {other.words} it forecasts the same, to within {TOLERANCE:g}"
    return Finding("fit", True, words)


def purged(trial: Trial) -> Finding:
    """Targets of training end before validation begins, those of both before the first origin tested."""
    learnt, checked, begins = trial.train, trial.validation, trial.begins
    ends = [given.date.max() for given in (learnt, checked) if len(given)]
    if len(learnt) and len(checked) and learnt.date.max() >= checked.origin.min():
        words = f"targets of training end {learnt.date.max()}, after validation begins {checked.origin.min()}"
        return Finding("purge", False, f"{trial.model}: {words}")
    if ends and max(ends) >= begins:
        words = f"targets learnt from end {max(ends)}, the test begins {begins}"
        return Finding("purge", False, f"{trial.model}: {words}")
    words = f"{trial.model}: targets learnt from end {max(ends) if ends else 'nowhere'}, the test begins {begins}"
    return Finding("purge", True, words)


def unseen(trial: Trial) -> Finding:
    """No window that originates in the test period was given to `fit`: neither those tested nor their neighbours."""
    for name, given in (("training", trial.train), ("validation", trial.validation)):
        inside = int((given.origin >= trial.begins).sum())
        if inside:
            words = (
                f"{inside:,} of {len(given):,} windows of {name} originate in the test period, from {trial.begins} on"
            )
            return Finding("unseen", False, f"{trial.model}: {words}")
    newest = max((given.origin.max() for given in (trial.train, trial.validation) if len(given)), default="never")
    words = f"the newest window given to fit originates {newest}, the test begins {trial.begins}"
    return Finding("unseen", True, f"{trial.model}: {words}")


def _unchanged(check: str, truth: Windows, other: World, values: Callable[[Windows], np.ndarray]) -> Finding:
    """Rows of an array up to the day of a world, bit for bit."""
    rows = np.flatnonzero((truth.panel.date <= other.day) & _present(truth, other))
    there = other.row[rows]
    mine, others = values(truth)[rows], values(other.windows)[there]
    same = (there >= 0) & ((mine == others) | (np.isnan(mine) & np.isnan(others))).all(axis=1)
    if same.all():
        return Finding(check, True, f"{len(rows):,} rows unchanged, bit for bit, with {other.words}")
    first = rows[~same][0]
    where = f"{truth.panel.symbols[truth.panel.code[first]]} {truth.panel.date[first]}"
    words = f"{int((~same).sum()):,} of {len(rows):,} rows change with {other.words}, first {where}"
    return Finding(check, False, words)


def _present(truth: Windows, other: World) -> np.ndarray:
    """(rows,) rows whose symbol is there at all in the other world: one with too short a past may be left out."""
    there = np.isin(np.asarray(truth.panel.symbols), np.asarray(other.windows.panel.symbols))
    return there[truth.panel.code]


def _predicted(trial: Trial, windows: Windows) -> np.ndarray:
    """Forecasts, or NaN where the model fails for want of the rows that were removed."""
    try:
        return trial.fitted.predict(windows)
    except (IndexError, KeyError, ValueError) as error:
        log.warning("%s cannot forecast without later rows: %s", trial.model, error)
        return np.full(trial.forecasts[: len(windows)].shape, np.nan)


def _deviation(forecasts: np.ndarray, again: np.ndarray) -> float:
    """Largest difference, relative to the largest quantile of each forecast; infinite where one is not finite."""
    if forecasts.shape != again.shape:
        return np.inf
    unit = np.maximum(np.abs(forecasts).max(axis=-1, keepdims=True), np.finfo(float).tiny)
    away = np.abs(forecasts - again) / unit
    return float(np.where(np.isfinite(away), away, np.inf).max(initial=0.0))


def _fits(noise_after: Callable[..., World], truth: Windows, trials: list[Trial]) -> list[Finding]:
    """The first fit of every model, which has the most future, once more with noise for a future."""
    first: dict[str, Trial] = {}
    for trial in trials:
        if trial.model not in first or trial.begins < first[trial.model].begins:
            first[trial.model] = trial
    found, worlds = [], {}
    for name, trial in first.items():
        before = truth.panel.date[truth.panel.date < trial.begins]
        if len(before) == 0:
            continue
        log.info("audit: %s fitted again with noise after %s", name, before.max())
        if before.max() not in worlds:
            worlds[before.max()] = noise_after(day=before.max())
        found.append(fit_known(trial, truth, worlds[before.max()]))
    return found


def _spread(trials: list[Trial], count: int) -> np.ndarray:
    """(count,) origins spread evenly over those tested, none at either end."""
    tested = np.unique(np.concatenate([trial.tested.origin for trial in trials]))
    place = (np.arange(count) + 0.5) / count * len(tested)
    return np.unique(tested[place.astype(int)])


def _merged(found: list[Finding]) -> list[Finding]:
    """One finding a check: the first failure, or else the first success, and how often; alarms stay one a model."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for one in found:
        groups.setdefault((one.check, one.model), []).append(one)
    merged = []
    for (check, model), group in groups.items():
        failed = [one for one in group if not one.passed]
        count = f" (in {len(failed) or len(group)} of {len(group)} cases)" if len(group) > 1 else ""
        merged.append(Finding(check, not failed, f"{(failed or group)[0].detail}{count}", model))
    return merged
