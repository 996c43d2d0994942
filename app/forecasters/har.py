"""HAR on range-based volatility: what daily, weekly and monthly volatility say of that to come, by least squares."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from app.allowed import check_ranges
from app.dataset.features import FEATURES
from app.dataset.targets import PARKINSON
from app.dataset.windows import Windows
from app.forecasters.baselines import check_horizons, known_windows, pooled_quantiles
from app.schema import LEVELS

SPANS = (1, 5, 22)
"""Sessions of a day, a week and a month."""

BATCH = 4096
"""Windows whose past ranges are gathered at once."""

_RANGE = [feature.name for feature in FEATURES].index("range")


@dataclass(frozen=True)
class Har:
    """Recipe: heterogeneous autoregression of the logarithm of range-based volatility, one for each horizon.

        log V[t, h] = level + a D[t] + b W[t] + c M[t]

    V[t, h]: root mean of range² / (4 log 2) over the h sessions after t. D, W, M: means of the logarithm of the
    same for single sessions, over the last 1, 5 and 22. The slopes are pooled over symbols, the level is each
    symbol's own. The quantiles are those that the targets had in the frame of this volatility: empirical, pooled.
    years: newest years that are fitted.

    Source: Corsi (2009), Journal of Financial Econometrics 7, 174-196, eq. 9; ranges for realised variances as in
    Parkinson (1980), Journal of Business 53, 61-65.
    """

    years: int = 10

    __pydantic_config__ = {"extra": "forbid"}

    def __post_init__(self) -> None:
        check_ranges("har", self, {"years": (1, 100)}, unit="years")

    def fit(self, train: Windows, validation: Windows) -> "FittedHar":
        """Least squares over the windows of both sets, all symbols together.

        Raises:
            DataError: no window has a known target.
        """
        known = known_windows(train, validation)
        known = Windows(known.panel, known.ends[known.origin > known.years_back(self.years)])
        inputs, later = _averages(known), later_log_volatility(known)
        codes = np.unique(known.panel.code[known.ends])
        own = np.searchsorted(codes, known.panel.code[known.ends])
        fits = [_least_squares(inputs, later[:, column], own, len(codes)) for column in range(later.shape[1])]
        slopes, levels = (np.array(part) for part in zip(*fits, strict=True))
        levels = np.where(np.isnan(levels), np.nanmean(levels, axis=1, keepdims=True), levels)
        bare = FittedHar(
            horizons=known.spec.horizons,
            slopes=slopes,
            levels={known.panel.symbols[code]: levels[:, number] for number, code in enumerate(codes)},
            pooled=levels.mean(axis=1),
            quantiles=np.zeros((len(slopes), len(LEVELS))),
        )
        return replace(bare, quantiles=pooled_quantiles(known.expecting(bare.volatility(known))))


@dataclass(frozen=True, eq=False)
class FittedHar:
    """slopes: (horizons, 3); levels: (horizons,) a symbol, `pooled` for any other; quantiles: (horizons, levels)."""

    horizons: tuple[int, ...]
    slopes: np.ndarray
    levels: Mapping[str, np.ndarray]
    pooled: np.ndarray
    quantiles: np.ndarray

    def predict(self, windows: Windows) -> np.ndarray:
        """(n, horizons, levels) quantiles of the target.

        Raises:
            DataError: the windows have other horizons than those it was fitted on.
        """
        return windows.expecting(self.volatility(windows)).restored(self.quantiles)

    def volatility(self, windows: Windows) -> np.ndarray:
        """(n, horizons) expected volatility per session over the sessions ahead.

        Raises:
            DataError: the windows have other horizons than those it was fitted on.
        """
        check_horizons("har", self.horizons, windows)
        levels = np.array([self.levels.get(symbol, self.pooled) for symbol in windows.panel.symbols])
        inputs = _averages(windows)
        terms = [inputs[:, None, span] * self.slopes[:, span] for span in range(len(SPANS))]
        return np.exp(levels[windows.panel.code[windows.ends]] + terms[0] + terms[1] + terms[2])

    def save(self, folder: Path) -> None:
        """One JSON file; its decimals give back the very same floats."""
        content = {
            "horizons": self.horizons,
            "levels": {symbol: level.tolist() for symbol, level in self.levels.items()},
            **{name: getattr(self, name).tolist() for name in ("slopes", "pooled", "quantiles")},
        }
        (Path(folder) / "har.json").write_text(json.dumps(content))

    @classmethod
    def load(cls, folder: Path) -> "FittedHar":
        """What `save` wrote; forecasts are identical."""
        content = json.loads((Path(folder) / "har.json").read_text())
        return cls(
            horizons=tuple(content["horizons"]),
            levels={symbol: np.array(level) for symbol, level in content["levels"].items()},
            **{name: np.array(content[name]) for name in ("slopes", "pooled", "quantiles")},
        )


def log_ranges(windows: Windows, sessions: int) -> np.ndarray:
    """(n, sessions) log of range-based volatility of the newest sessions, oldest first; NaN where not known.

    Gathered row by row, so that each is the same in any company.
    """
    panel = windows.panel
    rows = windows.ends[:, None] + np.arange(1 - sessions, 1)
    own = rows >= panel.offsets[panel.code[windows.ends]][:, None]
    rows = np.maximum(rows, 0)
    with np.errstate(invalid="ignore"):
        value = panel.features[rows, _RANGE] + np.log(panel.volatility[rows]) - np.log(PARKINSON) / 2
    return np.where(own, value, np.nan)


def _averages(windows: Windows) -> np.ndarray:
    """(n, 3) means of the log volatility of the last 1, 5 and 22 sessions, of those that are known."""
    parts = [np.zeros((0, len(SPANS)))]
    for batch in windows.batches(BATCH):
        past = log_ranges(batch, max(SPANS))
        known = np.isfinite(past)
        total = np.cumsum(np.where(known, past, 0.0)[:, ::-1], axis=1)
        count = np.cumsum(known[:, ::-1], axis=1)
        parts.append(np.column_stack([total[:, span - 1] / np.maximum(count[:, span - 1], 1) for span in SPANS]))
    return np.concatenate(parts)


def later_log_volatility(windows: Windows) -> np.ndarray:
    """(n, horizons) log of the root mean square of the range volatilities ahead; NaN if a session is missing.

    Gathered row by row, too: a running total would carry the rounding of one symbol's future into another's past.
    """
    panel, last = windows.panel, len(windows.panel.date) - 1
    parts = [np.zeros((0, len(windows.spec.horizons)))]
    for batch in windows.batches(BATCH):
        answer = np.full((len(batch), len(windows.spec.horizons)), np.nan)
        for column, horizon in enumerate(windows.spec.horizons):
            row = np.minimum(batch.ends + horizon, last)
            there = (panel.date[row] == batch.date[:, column]) & (panel.code[row] == panel.code[batch.ends])
            squares = np.exp(2 * log_ranges(Windows(panel, row[there]), horizon))
            answer[there, column] = np.log(squares.mean(axis=1)) / 2
        parts.append(answer)
    return np.concatenate(parts)


def _least_squares(
    inputs: np.ndarray, later: np.ndarray, own: np.ndarray, symbols: int
) -> tuple[np.ndarray, np.ndarray]:
    """(3,) slopes and (symbols,) levels: every symbol is centred on its own means, then all are one regression."""
    usable = np.isfinite(later)
    inputs, later, own = inputs[usable], later[usable], own[usable]
    count = np.bincount(own, minlength=symbols)
    some = np.where(count > 0, count, np.nan)  # a symbol without one whole stretch ahead has no level of its own
    means = [np.bincount(own, column, minlength=symbols) / some for column in (*inputs.T, later)]
    centre = np.column_stack(means[:-1])
    slopes = np.linalg.lstsq(inputs - centre[own], later - means[-1][own], rcond=None)[0]
    return slopes, means[-1] - centre @ slopes
