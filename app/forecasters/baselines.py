"""The naive models: what a forecast is worth nothing without."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy import special

from app.allowed import check_ranges
from app.dataset.features import FLOOR, WARM_UP
from app.dataset.windows import Windows
from app.errors import DataError
from app.schema import LEVELS

BATCH = 4096
"""Windows whose past returns are gathered at once."""


@dataclass(frozen=True)
class RandomWalk:
    """A log price that moves without drift in independent Gaussian steps.

    lookback_sessions: newest returns of the symbol that its volatility is taken from.
    """

    lookback_sessions: int = 250

    __pydantic_config__ = {"extra": "forbid"}

    def __post_init__(self) -> None:
        check_ranges("random_walk", self, {"lookback_sessions": (WARM_UP, 10_000)}, unit="sessions")

    def fit(self, train: Windows, validation: Windows) -> "FittedRandomWalk":
        """Nothing is learnt: the volatility is that known at each origin."""
        return FittedRandomWalk(self.lookback_sessions)


@dataclass(frozen=True)
class FittedRandomWalk:
    """Quantiles sigma sqrt(h) z(level), sigma² the mean square of the last `lookback_sessions` returns."""

    lookback_sessions: int

    def predict(self, windows: Windows) -> np.ndarray:
        """(n, horizons, levels) quantiles of the log return; the median is 0."""
        parts = [np.zeros(0)]
        parts += [self._volatility(batch) for batch in windows.batches(BATCH)]
        spread = np.concatenate(parts)[:, None] * np.sqrt(windows.spec.horizons)
        return spread[..., None] * special.ndtri(LEVELS)

    def save(self, folder: Path) -> None:
        """One JSON file."""
        (Path(folder) / "random-walk.json").write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, folder: Path) -> "FittedRandomWalk":
        """What `save` wrote; forecasts are identical."""
        return cls(**json.loads((Path(folder) / "random-walk.json").read_text()))

    def _volatility(self, windows: Windows) -> np.ndarray:
        """(n,) per session. Gathered row by row, so that each forecast is the same in any company."""
        panel = windows.panel
        rows = windows.ends[:, None] + np.arange(1 - self.lookback_sessions, 1)
        own = rows >= panel.offsets[panel.code[windows.ends]][:, None]
        squares = np.square(np.where(own, panel.returns[np.maximum(rows, 0)], np.nan))
        known = np.isfinite(squares)
        mean = np.where(known, squares, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        return np.maximum(np.sqrt(mean), FLOOR)


@dataclass(frozen=True)
class Ewma:
    """RiskMetrics volatility with the quantiles that the returns in units of it have had.

    Source: J.P. Morgan/Reuters (1996), RiskMetrics Technical Document, §5.2, for the volatility (decay
    0.94, known at the origin, the same for every horizon but for its square root); the quantiles in
    place of the Gaussian ones are filtered historical simulation without a path: Barone-Adesi,
    Giannopoulos & Vosper (1999), Journal of Futures Markets 19, 583-602.
    """

    __pydantic_config__ = {"extra": "forbid"}

    def fit(self, train: Windows, validation: Windows) -> "FittedEwma":
        """Take the quantiles, horizon by horizon, over all windows of both sets and all symbols.

        Raises:
            DataError: no window has a known target.
        """
        known = known_windows(train, validation)
        return FittedEwma(known.spec.horizons, pooled_quantiles(known))


@dataclass(frozen=True, eq=False)
class FittedEwma:
    """Quantiles, (horizons, levels), in units of `Windows.scale`."""

    horizons: tuple[int, ...]
    quantiles: np.ndarray

    def predict(self, windows: Windows) -> np.ndarray:
        """(n, horizons, levels) quantiles of the target.

        Raises:
            DataError: the windows have other horizons than those it was fitted on.
        """
        check_horizons("ewma", self.horizons, windows)
        return windows.restored(self.quantiles)

    def save(self, folder: Path) -> None:
        """One JSON file; its decimals give back the very same floats."""
        content = {"horizons": self.horizons, "quantiles": self.quantiles.tolist()}
        (Path(folder) / "ewma.json").write_text(json.dumps(content))

    @classmethod
    def load(cls, folder: Path) -> "FittedEwma":
        """What `save` wrote; forecasts are identical."""
        content = json.loads((Path(folder) / "ewma.json").read_text())
        return cls(tuple(content["horizons"]), np.array(content["quantiles"]))


def known_windows(train: Windows, validation: Windows) -> Windows:
    """The windows of both sets whose targets are known: what a model without validation learns from.

    Raises:
        DataError: there is none.
    """
    both = Windows(train.panel, np.union1d(train.ends, validation.ends))
    known = Windows(both.panel, both.ends[np.isfinite(both.actual).all(axis=1)])
    if len(known) == 0:
        raise DataError(
            f"training: none of {len(both)} windows has a known target. Fetch more history, or shorten --horizons."
        )
    return known


def pooled_quantiles(known: Windows) -> np.ndarray:
    """(horizons, levels) quantiles that the scaled targets had, all symbols and days together."""
    quantiles = np.quantile(known.scaled, LEVELS, axis=0).T
    return np.maximum.accumulate(quantiles, axis=1)


def check_horizons(name: str, fitted: tuple[int, ...], windows: Windows) -> None:
    """Refuse windows with other horizons than a model was fitted on.

    Raises:
        DataError: they differ.
    """
    if tuple(fitted) != tuple(windows.spec.horizons):
        raise DataError(
            f"{name} was fitted for horizons {list(fitted)}, asked for {list(windows.spec.horizons)}. "
            "Train again with these horizons."
        )
