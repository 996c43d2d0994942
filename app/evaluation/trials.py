"""What a back test did, seen from the recipes: which windows each fit was given, which its model forecast.

Nobody's word is taken for it: the recipes are wrapped, and what reaches them is written down.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from app.dataset.windows import Panel, Windows
from app.forecasters.base import Fitted, Recipe

Pipeline = Callable[[pd.DataFrame], Windows]
"""A price table in, all its windows out: features, scale and targets are made here."""

Walk = Callable[[Windows, Mapping[str, Recipe]], pd.DataFrame]
"""Windows and recipes by name in, the forecasts table out: fits, and splits the windows for it, as it likes."""

CHANGES = ("removed", "turned to noise")


@dataclass(frozen=True, eq=False)
class Trial:
    """One fit, what it was given, and (n, horizons, levels) forecasts of the `tested` windows by its model."""

    model: str
    recipe: Recipe
    train: Windows
    validation: Windows
    fitted: Fitted
    tested: Windows
    forecasts: np.ndarray

    @property
    def begins(self) -> np.datetime64:
        """The first origin tested."""
        return self.tested.origin.min()


@dataclass(frozen=True, eq=False)
class World:
    """Windows of the same prices with another future: all rows after `day` removed or turned to noise.

    row: (rows of the true panel,) the row of the same symbol and session in this panel, -1 where there is none.
    """

    day: np.datetime64
    change: str
    windows: Windows
    row: np.ndarray

    @property
    def words(self) -> str:
        """The change, for a sentence."""
        return f"rows after {self.day} {self.change}"


def observe(windows: Windows, recipes: Mapping[str, Recipe], walk: Walk) -> tuple[pd.DataFrame, list[Trial]]:
    """Let a back test run with watched recipes; returns its forecasts table and every trial, in order."""
    notes: list[Trial] = []
    table = walk(windows, {name: _Watched(name, recipe, notes) for name, recipe in recipes.items()})
    return table, notes


def world(prices: pd.DataFrame, pipeline: Pipeline, truth: Windows, day: np.datetime64, change: str) -> World:
    """What the pipeline makes of prices with another future after `day`.

    Args:
        truth: what it made of the prices as they are.
        change: one of `CHANGES`.
    """
    windows = pipeline(altered(prices, day, change))
    return World(day, change, windows, _same_rows(truth.panel, windows.panel))


def altered(prices: pd.DataFrame, day: np.datetime64, change: str, seed: int = 0) -> pd.DataFrame:
    """A price table whose rows after `day` are removed, or multiplied by log-normal noise.

    The noise is 50 % a row, far more than prices move: the largest value of a period, wherever it
    was, is then another one. A row's prices share a factor, so that high stays above low.
    """
    later = (prices["date"] > pd.Timestamp(day)).to_numpy()
    if change == "removed":
        return prices[~later].reset_index(drop=True)
    noise = np.random.default_rng(seed).lognormal(sigma=0.5, size=(2, later.sum()))
    table = prices.copy()
    for name in ("open", "high", "low", "close", "dividend", "volume"):
        values = table[name].to_numpy(float, copy=True)
        values[later] *= noise[int(name == "volume")]
        table[name] = values
    return table


def rows_in(panel: Panel, known: np.ndarray) -> np.ndarray:
    """(rows of the panel,) whether each is among the row numbers `known`."""
    marked = np.zeros(len(panel.date), bool)
    marked[known] = True
    return marked


def _same_rows(panel: Panel, other: Panel) -> np.ndarray:
    """(rows of `panel`,) the row of `other` with the same symbol and date, or -1."""
    found = np.full(len(panel.date), -1)
    place = {symbol: number for number, symbol in enumerate(other.symbols)}
    for code, symbol in enumerate(panel.symbols):
        if symbol not in place:
            continue
        own = slice(panel.offsets[code], panel.offsets[code + 1])
        start, stop = other.offsets[place[symbol]], other.offsets[place[symbol] + 1]
        there = other.date[start:stop]
        at = np.minimum(np.searchsorted(there, panel.date[own]), len(there) - 1)
        found[own] = np.where(there[at] == panel.date[own], start + at, -1)
    return found


@dataclass(frozen=True, eq=False)
class _Watched:
    """A recipe that writes down what it is given."""

    model: str
    recipe: Recipe
    notes: list[Trial] = field(repr=False)

    def fit(self, train: Windows, validation: Windows) -> "_WatchedFit":
        return _WatchedFit(self, train, validation, self.recipe.fit(train, validation))


@dataclass(frozen=True, eq=False)
class _WatchedFit:
    """A fitted model that writes down what it forecasts."""

    origin: _Watched
    train: Windows
    validation: Windows
    fitted: Fitted

    def predict(self, windows: Windows) -> np.ndarray:
        forecasts = self.fitted.predict(windows)
        of = self.origin
        of.notes.append(
            Trial(of.model, of.recipe, self.train, self.validation, self.fitted, windows, np.asarray(forecasts))
        )
        return forecasts

    def save(self, folder: Path) -> None:
        self.fitted.save(folder)
