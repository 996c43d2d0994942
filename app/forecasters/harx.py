"""HAR-X: the volatility to come by a straight line from all that is known to tell of it, one for all symbols."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from app.allowed import check_ranges
from app.dataset.windows import Windows
from app.forecasters.baselines import check_horizons, known_windows, pooled_quantiles
from app.forecasters.har import later_log_volatility
from app.schema import LEVELS

FILE = "har-x.json"
FURTHEST = 2.0
"""All effects together add at most ± this to the log of the volatility: no damaged row makes it absurd."""


@dataclass(frozen=True)
class HarX:
    """Recipe: log-linear regression of the range-based volatility to come, one for each horizon, pooled.

        log(V[t, h] / v[t]) = level + sum over j of slope[j] (x[t, j] - mean[j])

    V[t, h]: root mean of range² / (4 log 2) over the h sessions after t. v[t]: the volatility known (EWMA). x: the
    columns of `dataset.outlook`: log range volatility of a day, week, month, quarter and year, falls and rises, volume,
    days to the next session, the same days of earlier quarters, and the market. The quantiles are those that the
    targets had in the frame of this volatility: empirical, pooled. years: newest years that are fitted. held: the
    slopes are shrunk as by so many sessions in which nothing had an effect.

    Source: Corsi (2009), Journal of Financial Econometrics 7, 174-196, eq. 9, with regressors as in Bollerslev, Hood,
    Huss & Pedersen (2018), Review of Financial Studies 31, 2729-2773, who pool symbols and add a global factor; ridge:
    Hoerl & Kennard (1970), Technometrics 12, 55-67, eq. 2.1; ranges: Parkinson (1980), Journal of Business 53, 61-65.
    """

    years: int = 10
    held: int = 250

    __pydantic_config__ = {"extra": "forbid"}

    def __post_init__(self) -> None:
        check_ranges("harx", self, {"years": (1, 100)}, unit="years")
        check_ranges("harx", self, {"held": (0, 1_000_000)}, unit="sessions")

    def fit(self, train: Windows, validation: Windows) -> "FittedHarX":
        """Ridge regression over the windows of both sets, all symbols together.

        Raises:
            DataError: no window has a known target.
        """
        known = known_windows(train, validation)
        known = Windows(known.panel, known.ends[known.origin > known.years_back(self.years)])
        wider = later_log_volatility(known) - np.log(known.volatility)[:, None]
        mean, inputs = _centred(known.panel.outlook[known.ends])
        fits = [_ridge(inputs, wider[:, column], self.held) for column in range(wider.shape[1])]
        levels, slopes = (np.array(part) for part in zip(*fits, strict=True))
        bare = FittedHarX(known.spec.horizons, mean, levels, slopes, np.zeros((len(levels), len(LEVELS))))
        return replace(bare, quantiles=pooled_quantiles(bare.of(known)))


@dataclass(frozen=True, eq=False)
class FittedHarX:
    """mean: (columns,) of the outlook; levels: (horizons,); slopes: (horizons, columns); quantiles: (horizons, levels),
    in the frame of the volatility expected."""

    horizons: tuple[int, ...]
    mean: np.ndarray
    levels: np.ndarray
    slopes: np.ndarray
    quantiles: np.ndarray

    def predict(self, windows: Windows) -> np.ndarray:
        """(n, horizons, levels) quantiles of the target.

        Raises:
            DataError: the windows have other horizons than those it was fitted on.
        """
        return self.of(windows).restored(self.quantiles)

    def of(self, windows: Windows) -> Windows:
        """The same windows in the frame of the volatility that is expected of them, at each horizon.

        Raises:
            DataError: the windows have other horizons than those it was fitted on.
        """
        check_horizons("har-x", self.horizons, windows)
        return windows.expecting(self._expected(windows))

    def _expected(self, windows: Windows) -> np.ndarray:
        """(n, horizons). Added up column by column, so that each window's is the same in any company."""
        wider = np.zeros((len(windows), len(self.horizons)))
        for number, column in enumerate(windows.panel.outlook[windows.ends].T):
            wider += np.nan_to_num(column - self.mean[number])[:, None] * self.slopes[:, number]
        return windows.volatility[:, None] * np.exp(self.levels + np.clip(wider, -FURTHEST, FURTHEST))

    def save(self, folder: Path) -> None:
        """One JSON file; its decimals give back the very same floats."""
        content = {
            "horizons": self.horizons,
            **{name: getattr(self, name).tolist() for name in ("mean", "levels", "slopes", "quantiles")},
        }
        (Path(folder) / FILE).write_text(json.dumps(content))

    @classmethod
    def load(cls, folder: Path) -> "FittedHarX":
        """What `save` wrote; forecasts are identical."""
        content = json.loads((Path(folder) / FILE).read_text())
        numbers = {name: np.array(content[name]) for name in ("mean", "levels", "slopes", "quantiles")}
        return cls(tuple(content["horizons"]), **numbers)


def _centred(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(columns,) means of what is known, and (n, columns) what is above them; what is not known is usual."""
    known = np.isfinite(columns)
    mean = np.where(known, columns, 0.0).sum(axis=0, dtype=float) / np.maximum(known.sum(axis=0), 1)
    return mean, np.where(known, columns - mean, 0.0)


def _ridge(inputs: np.ndarray, wider: np.ndarray, held: int) -> tuple[float, np.ndarray]:
    """The level, and (columns,) slopes, of the rows whose answer is known; inputs count in their own deviations."""
    usable = np.isfinite(wider)
    if not usable.any():
        return 0.0, np.zeros(inputs.shape[1])
    inputs, wider = inputs[usable], wider[usable]
    spread = inputs.std(axis=0)
    spread = np.where(spread > 1e-6, spread, np.inf)
    centre, level = inputs.mean(axis=0), wider.mean()
    z = (inputs - centre) / spread
    shrunk = z.T @ z + max(held, 1e-6 * len(z)) * np.eye(z.shape[1])
    slopes = np.linalg.solve(shrunk, z.T @ (wider - level)) / spread
    return float(level - centre @ slopes), slopes
