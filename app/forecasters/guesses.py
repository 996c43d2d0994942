"""The direction without a model: always up, and as often as in the past."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.dataset.windows import Windows
from app.forecasters.baselines import check_horizons, known_windows
from app.schema import LEVELS

WIDTH = 3.6554
"""Slope of the quantiles over their levels, in volatilities: the 90 % interval is then as wide as a normal one."""


@dataclass(frozen=True)
class AlwaysUp:
    """Recipe: every return will be above 0. All quantiles are; 19 of them say so with 95 % and no more."""

    def fit(self, train: Windows, validation: Windows) -> "FittedGuess":
        """Nothing is learnt."""
        return FittedGuess(train.spec.horizons, (1.0,) * len(train.spec.horizons))


@dataclass(frozen=True)
class BaseRate:
    """Recipe: the return will be above 0 as often as it was in the past, at each horizon, over all symbols."""

    def fit(self, train: Windows, validation: Windows) -> "FittedGuess":
        """Count the rises of the windows of both sets.

        Raises:
            DataError: no window has a known target.
        """
        known = known_windows(train, validation)
        return FittedGuess(known.spec.horizons, tuple((known.actual > 0).mean(axis=0).tolist()))


@dataclass(frozen=True)
class FittedGuess:
    """chances: of a return above 0, by horizon, the same for every symbol and origin."""

    horizons: tuple[int, ...]
    chances: tuple[float, ...]

    def predict(self, windows: Windows) -> np.ndarray:
        """(n, horizons, levels) evenly spaced quantiles of the log return that cross 0 at 1 - chance.

        Raises:
            DataError: the windows have other horizons than those it was fitted on.
        """
        check_horizons("a guess of the direction", self.horizons, windows)
        steps = np.array(LEVELS) - 1 + np.array(self.chances)[:, None]
        return windows.scale[..., None] * WIDTH * steps

    def save(self, folder: Path) -> None:
        """One JSON file."""
        content = {"horizons": self.horizons, "chances": self.chances}
        (Path(folder) / "guess.json").write_text(json.dumps(content))

    @classmethod
    def load(cls, folder: Path) -> "FittedGuess":
        """What `save` wrote; forecasts are identical."""
        content = json.loads((Path(folder) / "guess.json").read_text())
        return cls(tuple(content["horizons"]), tuple(content["chances"]))
