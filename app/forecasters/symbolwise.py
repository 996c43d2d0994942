"""Models with parameters of their own for every symbol: fitted one by one, pooled where needed, simulated ahead."""

import json
import logging
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from app.dataset.features import FLOOR
from app.dataset.windows import Panel, Windows
from app.forecasters.baselines import known_windows
from app.forecasters.simulation import Step, normal_scores, shapes
from app.schema import LEVELS

log = logging.getLogger(__name__)

LEAST = 250
"""Returns a symbol must have for a fit of its own."""

PERCENT = 100.0
"""The optimiser is given percent: variances near 1 are what its tolerances are made for."""


class Dynamics(Protocol):
    """How the variance of one symbol moves: a frozen dataclass of plain numbers."""

    @property
    def mean(self) -> float:
        """Of the returns, per session."""

    @property
    def nu(self) -> float:
        """Degrees of freedom of the standardised returns."""

    @abstractmethod
    def volatility(self, panel: Panel, code: int, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n,), (n,) per session: volatility of the next session known at each origin, and the long-run one."""

    @abstractmethod
    def step_from(self, ratio: float) -> Step:
        """How the variance moves on from a session whose volatility is `ratio` times the long-run one."""


def fit_each(
    name: str,
    sets: tuple[Windows, Windows],
    years: int,
    likelihood: Callable[[np.ndarray, np.ndarray], Dynamics | None],
) -> dict[str, Dynamics]:
    """Fit every symbol of both sets on its returns of the newest years up to the newest session they know.

    Args:
        likelihood: from dates and returns (n,) to the dynamics; None where no maximum is found.

    Returns:
        By symbol; one with fewer than `LEAST` returns or without a maximum is left out, and warned of.

    Raises:
        DataError: no window has a known target.
    """
    known = known_windows(*sets)
    panel, newest, oldest = known.panel, known.date[:, -1].max(), known.years_back(years)
    codes = np.unique(panel.code[known.ends])
    found: dict[str, Dynamics] = {}
    for count, code in enumerate(codes, start=1):
        rows = slice(panel.offsets[code], panel.offsets[code + 1])
        dates, returns = panel.date[rows], panel.returns[rows]
        chosen = (dates > oldest) & (dates <= newest) & np.isfinite(returns)
        dates, returns = dates[chosen], returns[chosen]
        enough = len(returns) >= LEAST and returns.std() >= FLOOR
        dynamics = likelihood(dates, returns) if enough else None
        if dynamics is not None:
            found[panel.symbols[code]] = dynamics
        if count % 50 == 0:
            log.info("%s: %d of %d symbols fitted", name, count, len(codes))
    _warn(name, [panel.symbols[code] for code in codes if panel.symbols[code] not in found])
    return found


def maximum(model, second: np.ndarray):
    """The result of an `arch` model from its own start or else from a second one; None where neither converges."""
    for start in (None, second):
        with np.errstate(all="ignore"):
            result = model.fit(disp="off", show_warning=False, starting_values=start)
        if result.convergence_flag == 0 and np.isfinite(result.params).all():
            return result
    return None


def medians(found: Mapping[str, Dynamics], names: Sequence[str]) -> dict[str, float]:
    """The median over the symbols of each parameter named."""
    return {name: float(np.median([getattr(one, name) for one in found.values()])) for name in names}


def with_mean(found: Mapping[str, Any], mean: float) -> dict[str, Any]:
    """The same dynamics with one mean for all symbols, in log returns per session."""
    return {symbol: replace(dynamics, mean=mean) for symbol, dynamics in found.items()}


@dataclass(frozen=True, eq=False)
class FittedEach:
    """The dynamics of every symbol fitted, and those of any other."""

    name: str
    symbols: Mapping[str, Dynamics]
    pooled: Dynamics

    FILE: ClassVar[str]
    DYNAMICS: ClassVar[type]

    def predict(self, windows: Windows) -> np.ndarray:
        """(n, horizons, levels) quantiles of the log return.

        One session ahead they are those of the t distribution; further ahead those of simulated sums.
        """
        horizons, panel = windows.spec.horizons, windows.panel
        draws = normal_scores(max(horizons))
        answer = np.empty((len(windows), len(horizons), len(LEVELS)))
        codes = panel.code[windows.ends]
        for code in np.unique(codes):
            chosen = codes == code
            dynamics = self.symbols.get(panel.symbols[code], self.pooled)
            sigma, unit = dynamics.volatility(panel, int(code), windows.ends[chosen])
            found = shapes(dynamics.step_from, dynamics.nu, sigma / unit, horizons, draws)
            drift = dynamics.mean * np.array(horizons)[:, None]
            answer[chosen] = drift + sigma[:, None, None] * found
        return answer

    def save(self, folder: Path) -> None:
        """One JSON file; its decimals give back the very same floats."""
        (Path(folder) / self.FILE).write_text(json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `save` wrote; forecasts are identical."""
        content = json.loads((Path(folder) / cls.FILE).read_text())
        symbols = {symbol: cls.DYNAMICS(**values) for symbol, values in content["symbols"].items()}
        return cls(content["name"], symbols, cls.DYNAMICS(**content["pooled"]))


def _warn(name: str, missing: list[str]) -> None:
    if missing:
        named = ", ".join(missing[:10]) + (", …" if len(missing) > 10 else "")
        log.warning("%s: pooled parameters for %d symbol(s) without a fit: %s.", name, len(missing), named)
