"""Forecasts of realised volatility by the models of returns: what they expect, with the errors they have made."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.dataset.features import FEATURES
from app.dataset.windows import Windows
from app.forecasters.base import Fitted, Recipe
from app.forecasters.baselines import check_horizons, known_windows, pooled_quantiles
from app.forecasters.egarch import FittedEgarch
from app.forecasters.garch import FittedGarch
from app.forecasters.har import BATCH, log_ranges

MONTH = 20
"""Sessions of the newest volatility that is carried forward, or as many as are forecast where those are more."""

INSIDE = 2 * 1.6448536269514722
"""Standard deviations that the 90 % interval of a normal distribution spans."""

FILE = "realised.json"
_FADING = [feature.name for feature in FEATURES].index("range_usual")
_OF_RETURNS: Mapping[str, type[FittedGarch] | type[FittedEgarch]] = {
    "garch": FittedGarch,
    "gjr-garch": FittedGarch,
    "egarch": FittedEgarch,
}


@dataclass(frozen=True)
class Unchanged:
    """Recipe of the random walk of volatility: that of the newest sessions goes on.

    It is the root mean square of the range-based volatilities of the newest `MONTH` sessions, or of the newest h
    where h is more; weighted, of all sessions, with weights that fade as those of RiskMetrics (`features.DECAY`).
    The quantiles are those that the targets have had around it.
    """

    weighted: bool = False

    def fit(self, train: Windows, validation: Windows) -> "FittedUnchanged":
        """Take the quantiles over the windows of both sets and all symbols.

        Raises:
            DataError: no window has a known target.
        """
        known = known_windows(train, validation)
        quantiles = pooled_quantiles(known.expecting(_newest(known, self.weighted)))
        return FittedUnchanged(known.spec.horizons, quantiles, self.weighted)


@dataclass(frozen=True, eq=False)
class FittedUnchanged:
    """quantiles: (horizons, levels) in the frame of the newest volatility."""

    horizons: tuple[int, ...]
    quantiles: np.ndarray
    weighted: bool

    def predict(self, windows: Windows) -> np.ndarray:
        """(n, horizons, levels) quantiles of the target.

        Raises:
            DataError: the windows have other horizons than those it was fitted on.
        """
        check_horizons("a volatility carried forward", self.horizons, windows)
        return windows.expecting(_newest(windows, self.weighted)).restored(self.quantiles)

    def save(self, folder: Path) -> None:
        """One JSON file; its decimals give back the very same floats."""
        _write(folder, horizons=self.horizons, quantiles=self.quantiles.tolist(), weighted=self.weighted)

    @classmethod
    def load(cls, folder: Path) -> "FittedUnchanged":
        """What `save` wrote; forecasts are identical."""
        content = json.loads((Path(folder) / FILE).read_text())
        return cls(tuple(content["horizons"]), np.array(content["quantiles"]), content["weighted"])


@dataclass(frozen=True)
class Expected:
    """Recipe: the volatility that a model of returns expects, read off the width of its 90 % interval.

    The width of the return over h sessions, over the root of h, is a volatility per session up to a factor; the
    quantiles that the targets had in the frame of it put that right, as they do what tells ranges from returns.
    """

    name: str
    recipe: Recipe

    def fit(self, train: Windows, validation: Windows) -> "FittedExpected":
        """Fit the model of returns, then take the quantiles over the windows of both sets and all symbols.

        Raises:
            DataError: no window has a known target.
        """
        fitted = self.recipe.fit(train, validation)
        known = known_windows(train, validation)
        quantiles = pooled_quantiles(known.expecting(_width(fitted, known)))
        return FittedExpected(fitted, known.spec.horizons, quantiles)


@dataclass(frozen=True, eq=False)
class FittedExpected:
    """quantiles: (horizons, levels) in the frame of the volatility that `fitted` expects."""

    fitted: Fitted
    horizons: tuple[int, ...]
    quantiles: np.ndarray

    def predict(self, windows: Windows) -> np.ndarray:
        """(n, horizons, levels) quantiles of the target.

        Raises:
            DataError: the windows have other horizons than those it was fitted on.
        """
        check_horizons("a model of volatility", self.horizons, windows)
        return windows.expecting(_width(self.fitted, windows)).restored(self.quantiles)

    def save(self, folder: Path) -> None:
        """The files of the model of returns, and one of the quantiles."""
        self.fitted.save(folder)
        _write(folder, horizons=self.horizons, quantiles=self.quantiles.tolist())

    @classmethod
    def load(cls, folder: Path, name: str) -> "FittedExpected":
        """What `save` wrote for the model of that name; forecasts are identical."""
        content = json.loads((Path(folder) / FILE).read_text())
        return cls(_OF_RETURNS[name].load(folder), tuple(content["horizons"]), np.array(content["quantiles"]))


def _newest(windows: Windows, weighted: bool) -> np.ndarray:
    """(n, horizons) range-based volatility of the newest sessions, weighted alike or fading."""
    horizons = windows.spec.horizons
    if weighted:
        fading = np.exp(windows.panel.features[windows.ends, _FADING].astype(float)) * windows.volatility
        return np.repeat(fading[:, None], len(horizons), axis=1)
    parts = [np.zeros((0, len(horizons)))]
    for batch in windows.batches(BATCH):
        answer = np.empty((len(batch), len(horizons)))
        for column, horizon in enumerate(horizons):
            squares = np.exp(2 * log_ranges(batch, max(MONTH, horizon)))
            known = np.isfinite(squares)
            total = np.where(known, squares, 0.0).sum(axis=1)
            answer[:, column] = np.sqrt(total / np.maximum(known.sum(axis=1), 1))
        parts.append(answer)
    return np.concatenate(parts)


def _width(fitted: Fitted, windows: Windows) -> np.ndarray:
    """(n, horizons) volatility per session that a model of returns expects."""
    quantiles = fitted.predict(windows)
    return (quantiles[..., -1] - quantiles[..., 0]) / (INSIDE * np.sqrt(windows.spec.horizons))


def _write(folder: Path, **content) -> None:
    (Path(folder) / FILE).write_text(json.dumps(content))
