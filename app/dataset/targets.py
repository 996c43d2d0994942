"""What is forecast, by name: the number that quantiles are of, what it is measured in, and what it must be judged by.

Everything that differs between targets is said here once. Models learn from `actual`, made comparable by `frame`;
scores, questions and baselines are names that the later stages know.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from app.dataset.features import FLOOR
from app.errors import SettingsError

PARKINSON = 4 * np.log(2)
"""Mean squared log range over the variance, for a price in continuous motion: Parkinson (1980), J. Business 53."""

Frame = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From a volatility per session (n, horizons) and the horizons to the centre and the unit, each (n, horizons)."""


@dataclass(frozen=True)
class Target:
    """A named target.

    meaning: for a person. unit: of quantiles and actual. actual: from the basis of one symbol (`features.basis`),
    the number of each row's session and (rows, horizons) those ahead, to (rows, horizons), NaN where not known.
    frame: see `Frame`; what is learnt is (actual - centre) / unit. baselines: models without which no
    score of it means anything. questions: (metric, reference) of every verdict. scores: columns of its score table.
    signed: quantiles lie on both sides of 0, and tell a direction. kept_as: what is added to a model's name when
    it is saved; targets that learn the same share their versions.
    """

    name: str
    meaning: str
    unit: str
    actual: Callable[[pd.DataFrame, np.ndarray, np.ndarray], np.ndarray]
    frame: Frame
    baselines: tuple[str, ...]
    questions: tuple[tuple[str, str], ...]
    scores: tuple[str, ...]
    signed: bool = True
    kept_as: str = ""


def target(name: str) -> Target:
    """The target of a name.

    Raises:
        SettingsError: there is none.
    """
    if name not in TARGETS:
        raise SettingsError(f"window.target must be one of {list(TARGETS)}, got {name!r}.")
    return TARGETS[name]


def _returns_ahead(known: pd.DataFrame, number: np.ndarray, ahead: np.ndarray) -> np.ndarray:
    """(rows, horizons) sums of returns up to the row whose session number is `ahead`, NaN if none."""
    returns = known["returns"].to_numpy()
    total, unknown = np.cumsum(np.nan_to_num(returns)), np.cumsum(np.isnan(returns))
    row = np.minimum(np.searchsorted(number, ahead), len(number) - 1)
    there = (number[row] == ahead) & (unknown[row] == unknown[:, None])
    return np.where(there, total[row] - total[:, None], np.nan)


def _volatility_ahead(known: pd.DataFrame, number: np.ndarray, ahead: np.ndarray) -> np.ndarray:
    """(rows, horizons) log of the root mean of range²/(4 log 2) over the sessions ahead, NaN if one is missing."""
    squares = np.square(known["true_range"].to_numpy()) / PARKINSON
    squares = np.where(np.isnan(known["returns"].to_numpy()), np.nan, squares)
    total, unknown = np.cumsum(np.nan_to_num(squares)), np.cumsum(np.isnan(squares))
    row = np.minimum(np.searchsorted(number, ahead), len(number) - 1)
    rows = row - np.arange(len(number))[:, None]
    there = (number[row] == ahead) & (unknown[row] == unknown[:, None]) & (rows == ahead - number[:, None])
    mean = np.maximum((total[row] - total[:, None]) / np.maximum(rows, 1), FLOOR**2)
    return np.where(there, np.log(mean) / 2, np.nan)


def _spread(volatility: np.ndarray, horizons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A sum of returns is near 0, as wide as the volatility times the root of the horizon."""
    scale = volatility * np.sqrt(horizons)
    return np.zeros_like(scale), scale


def _level(volatility: np.ndarray, horizons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The log of a volatility is near that of the last one, at every horizon."""
    centre = np.log(volatility) + np.zeros(len(horizons))
    return centre, np.ones_like(centre)


_COUNTS = ("n", "days", "symbols")
_BANDS = ("coverage_50", "coverage_80", "coverage_90", "width_80")

TARGETS = {
    one.name: one
    for one in (
        Target(
            name="return",
            meaning="the log return from the origin's close, dividends included",
            unit="log returns in %",
            actual=_returns_ahead,
            frame=_spread,
            baselines=(),
            questions=(("crps", "random-walk"), ("crps", "gjr-garch"), ("mae", "random-walk")),
            scores=(*_COUNTS, "crps", "pinball", "mae", "rmse", "direction", *_BANDS),
        ),
        Target(
            name="direction",
            meaning="the chance that the return is above 0, read off its quantiles",
            unit="probabilities in %",
            actual=_returns_ahead,
            frame=_spread,
            baselines=("always-up", "base-rate"),
            questions=(("brier", "base-rate"), ("wrong", "always-up")),
            scores=(*_COUNTS, "brier", "log_loss", "accuracy", "auc", "rises"),
        ),
        Target(
            name="volatility",
            meaning="the volatility per session realised over the sessions ahead, from their ranges",
            unit="logs of the volatility per session, times 100",
            actual=_volatility_ahead,
            frame=_level,
            baselines=("random-walk", "har"),
            questions=(
                *(("crps", name) for name in ("random-walk", "har", "gjr-garch")),
                ("qlike", "har"),
                ("mae", "random-walk"),
            ),
            scores=(*_COUNTS, "crps", "pinball", "qlike", "mae", "rmse", *_BANDS),
            signed=False,
            kept_as="-volatility",
        ),
    )
}
"""Every target by its name in settings, on the command line and on the page."""
