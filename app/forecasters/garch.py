"""GARCH and GJR-GARCH with Student t errors, one model a symbol: the rivals that are hard to beat."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from arch import arch_model
from scipy import signal, special, stats

from app.dataset.features import DECAY, FLOOR
from app.dataset.windows import Panel, Windows
from app.errors import SettingsError
from app.forecasters.baselines import known_windows
from app.schema import LEVELS

log = logging.getLogger(__name__)

LEAST = 250
"""Returns a symbol must have for a fit of its own."""

PERCENT = 100.0
"""The optimiser is given percent: variances near 1 are what its tolerances are made for."""

NODES = np.geomspace(1 / 8, 16, 29)
"""Volatility at the origin over the long-run one, where sums of returns are simulated; clamped beyond."""

PATHS = 2**14
"""Simulated paths, half of them mirror images of the other half."""

SEED = 20_000
"""Scrambles the Sobol points. It is fixed: all symbols, origins and runs share the same draws."""


@dataclass(frozen=True)
class Dynamics:
    """How the variance of one symbol moves, with e[t] = r[t] - mean and v the long-run variance:

        sigma²[t+1] = omega v + (alpha + gamma [e[t] < 0]) e[t]² + beta sigma²[t]

    nu: degrees of freedom of e / sigma. start: sigma² / v of the first session from `since` on (ISO
    date). variance: v, per session; None means the mean of e² over the symbol's own past up to each
    origin, for a symbol without a fit of its own.
    """

    mean: float
    omega: float
    alpha: float
    gamma: float
    beta: float
    nu: float
    start: float = 1.0
    variance: float | None = None
    since: str = "1900-01-01"


RISKMETRICS = Dynamics(mean=0.0, omega=0.0, alpha=1 - DECAY, gamma=0.0, beta=DECAY, nu=6.0)
"""What is assumed where no symbol could be fitted at all."""


@dataclass(frozen=True)
class Garch:
    """Recipe: constant mean, GARCH(1,1) or GJR-GARCH(1,1,1), Student t, by maximum likelihood.

    asymmetric: a fall may move the variance more than a rise (GJR). years: newest years that are fitted.
    pooled_mean: forecast with the median of the symbols' means in place of each one's own, which ten
    years do not tell apart (2004-2013, 20 US stocks: CRPS 0.6 % lower at 20 sessions).

    Source: Bollerslev (1987), Review of Economics and Statistics 69, 542-547; Glosten, Jagannathan &
    Runkle (1993), Journal of Finance 48, 1779-1801. The fit is that of the arch package.
    """

    asymmetric: bool = False
    years: int = 10
    pooled_mean: bool = True

    __pydantic_config__ = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if not 1 <= self.years <= 100:
            raise SettingsError(f"garch.years must be 1 to 100 years, got {self.years}.")

    @property
    def name(self) -> str:
        """As in settings and tables."""
        return "gjr-garch" if self.asymmetric else "garch"

    def fit(self, train: Windows, validation: Windows) -> "FittedGarch":
        """Fit every symbol of both sets on its returns up to the newest session they know.

        A symbol with fewer than `LEAST` returns, or whose likelihood finds no maximum from two
        starts, gets the medians of the others' parameters, around its own variance.

        Raises:
            DataError: no window has a known target.
        """
        known = known_windows(train, validation)
        panel, newest = known.panel, known.date[:, -1].max()
        oldest = newest - np.timedelta64(round(365.25 * self.years), "D")
        codes = np.unique(panel.code[known.ends])
        found: dict[str, Dynamics] = {}
        for count, code in enumerate(codes, start=1):
            rows = slice(panel.offsets[code], panel.offsets[code + 1])
            dates, returns = panel.date[rows], panel.returns[rows]
            chosen = (dates > oldest) & (dates <= newest) & np.isfinite(returns)
            dynamics = _maximum_likelihood(dates[chosen], returns[chosen], self.asymmetric)
            if dynamics is not None:
                found[panel.symbols[code]] = dynamics
            if count % 50 == 0:
                log.info("%s: %d of %d symbols fitted", self.name, count, len(codes))
        self._warn([panel.symbols[code] for code in codes if panel.symbols[code] not in found])
        pooled = _pooled(found)
        if self.pooled_mean:
            found = {symbol: replace(dynamics, mean=pooled.mean) for symbol, dynamics in found.items()}
        return FittedGarch(self.name, found, pooled)

    def _warn(self, missing: list[str]) -> None:
        if missing:
            named = ", ".join(missing[:10]) + (", …" if len(missing) > 10 else "")
            log.warning("%s: pooled parameters for %d symbol(s) without a fit: %s.", self.name, len(missing), named)


@dataclass(frozen=True, eq=False)
class FittedGarch:
    """The dynamics of every symbol fitted, and those of any other."""

    name: str
    symbols: Mapping[str, Dynamics]
    pooled: Dynamics

    def predict(self, windows: Windows) -> np.ndarray:
        """(n, horizons, levels) quantiles of the log return.

        One session ahead they are those of the t distribution; further ahead those of simulated sums.
        """
        horizons, panel = windows.spec.horizons, windows.panel
        draws = _normal_scores(max(horizons))
        answer = np.empty((len(windows), len(horizons), len(LEVELS)))
        codes = panel.code[windows.ends]
        for code in np.unique(codes):
            chosen = codes == code
            dynamics = self.symbols.get(panel.symbols[code], self.pooled)
            sigma, unit = _volatility(dynamics, panel, int(code), windows.ends[chosen])
            shapes = _shapes(dynamics, sigma / unit, horizons, draws)
            drift = dynamics.mean * np.array(horizons)[:, None]
            answer[chosen] = drift + sigma[:, None, None] * shapes
        return answer

    def save(self, folder: Path) -> None:
        """One JSON file; its decimals give back the very same floats."""
        (Path(folder) / "garch.json").write_text(json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls, folder: Path) -> "FittedGarch":
        """What `save` wrote; forecasts are identical."""
        content = json.loads((Path(folder) / "garch.json").read_text())
        symbols = {symbol: Dynamics(**values) for symbol, values in content["symbols"].items()}
        return cls(content["name"], symbols, Dynamics(**content["pooled"]))


def _maximum_likelihood(dates: np.ndarray, returns: np.ndarray, asymmetric: bool) -> Dynamics | None:
    """The dynamics of one symbol; None where there are too few returns or no maximum is found."""
    if len(returns) < LEAST or returns.std() < FLOOR:
        return None
    percent = PERCENT * returns
    model = arch_model(percent, vol="GARCH", p=1, o=int(asymmetric), q=1, dist="t", rescale=False)
    second = [percent.mean(), 0.02 * percent.var(), 0.04, *[0.06] * asymmetric, 0.90, 6.0]
    for start in (None, np.array(second)):
        with np.errstate(all="ignore"):
            result = model.fit(disp="off", show_warning=False, starting_values=start)
        if result.convergence_flag == 0 and np.isfinite(result.params).all():
            return _dynamics(result, dates[0])
    return None


def _dynamics(result, since: np.datetime64) -> Dynamics:
    """The optimiser's answer, from percent to the unit of `Dynamics`."""
    found = result.params
    variance = float(np.mean(np.square(result.resid)))
    return Dynamics(
        mean=float(found["mu"]) / PERCENT,
        omega=float(found["omega"]) / variance,
        alpha=float(found["alpha[1]"]),
        gamma=float(found.get("gamma[1]", 0.0)),
        beta=float(found["beta[1]"]),
        nu=float(found["nu"]),
        start=float(result.conditional_volatility[0] ** 2) / variance,
        variance=variance / PERCENT**2,
        since=str(since),
    )


def _pooled(found: Mapping[str, Dynamics]) -> Dynamics:
    """Medians over the symbols fitted; omega such that the long-run variance is the symbol's own."""
    if not found:
        return RISKMETRICS
    names = ("mean", "alpha", "gamma", "beta", "nu")
    middle: dict[str, Any] = {name: float(np.median([getattr(one, name) for one in found.values()])) for name in names}
    persistence = middle["alpha"] + middle["gamma"] / 2 + middle["beta"]
    return replace(RISKMETRICS, **middle, omega=max(1 - persistence, 0.0))


def _volatility(dynamics: Dynamics, panel: Panel, code: int, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Volatility of the next session known at each origin, and the long-run one it is measured by.

    The recursion is linear in what the returns bring, so it is a filter. It starts on a date, not in
    a row, from a stored value: a panel that begins elsewhere, or ends earlier, changes nothing.

    Returns:
        (n,), (n,) per session.
    """
    rows = slice(panel.offsets[code], ends.max() + 1)
    known = np.isfinite(panel.returns[rows])
    residual = panel.returns[rows][known] - dynamics.mean
    squares = np.square(residual)
    news = (dynamics.alpha + dynamics.gamma * (residual < 0)) * squares
    past, level, fading = np.empty((3, len(news)))
    restart = int(np.searchsorted(panel.date[rows][known], np.datetime64(dynamics.since)))
    for begin, end in pairwise((0, restart, len(news))):
        past[begin:end] = _discounted(news[begin:end], dynamics.beta)
        level[begin:end] = _discounted(np.ones(end - begin), dynamics.beta)
        fading[begin:end] = dynamics.beta ** np.arange(1, end - begin + 1)
    if dynamics.variance is None:
        unit = np.maximum(np.cumsum(squares) / np.arange(1, len(squares) + 1), FLOOR**2)
    else:
        unit = np.full(len(squares), dynamics.variance)
    variance = unit * (dynamics.omega * level + dynamics.start * fading) + past
    newest = (np.cumsum(known) - 1)[ends - panel.offsets[code]]
    return np.sqrt(np.maximum(variance, FLOOR**2))[newest], np.sqrt(unit)[newest]


def _discounted(values: np.ndarray, decay: float) -> np.ndarray:
    """(rows,) s[t] = values[t] + decay s[t - 1]."""
    return signal.lfilter([1.0], [1.0, -decay], values) if len(values) else values


def _shapes(dynamics: Dynamics, ratio: np.ndarray, horizons: tuple[int, ...], draws: np.ndarray) -> np.ndarray:
    """(n, horizons, levels) quantiles of (sum of h returns - h mean) / volatility of the next session.

    Given the parameters they depend on the origin only through `ratio`, (n,) volatility over the
    long-run one. They are simulated at NODES and interpolated linearly in its logarithm; a node
    depends on no other, so only those asked for are simulated.
    """
    position = np.interp(np.log(ratio), np.log(NODES), np.arange(len(NODES)))
    below = np.minimum(position.astype(int), len(NODES) - 2)
    weight = (position - below)[:, None, None]
    table = np.zeros((len(NODES), len(horizons), len(LEVELS)))
    steps = _student(draws, dynamics.nu)
    for node in np.union1d(below, below + 1):
        table[node] = _simulated(dynamics, NODES[node], horizons, steps)
    table[:, np.array(horizons) == 1] = stats.t.ppf(LEVELS, dynamics.nu) * _unit_scale(dynamics.nu)
    return (1 - weight) * table[below] + weight * table[below + 1]


def _simulated(dynamics: Dynamics, ratio: float, horizons: tuple[int, ...], steps: np.ndarray) -> np.ndarray:
    """(horizons, levels) quantiles over paths that begin at variance 1, the long-run one being 1 / ratio²."""
    omega = dynamics.omega / ratio**2
    variance, total = np.ones(steps.shape[1]), np.zeros(steps.shape[1])
    quantiles = []
    for ahead, step in enumerate(steps, start=1):
        total += np.sqrt(variance) * step
        if ahead in horizons:
            quantiles.append(np.quantile(total, LEVELS))
        reaction = dynamics.alpha + dynamics.gamma * (step < 0)
        variance = omega + variance * (reaction * np.square(step) + dynamics.beta)
    return np.array(quantiles)


def _normal_scores(steps: int) -> np.ndarray:
    """(steps, PATHS) standard normal draws: scrambled Sobol points and their mirror images.

    Source: Owen (1998), Journal of Complexity 14, 466-489.
    """
    points = stats.qmc.Sobol(steps, scramble=True, rng=SEED).random(PATHS // 2).T
    half = special.ndtri(points)
    return np.concatenate([half, -half], axis=1)


def _student(scores: np.ndarray, nu: float) -> np.ndarray:
    """Normal draws turned into draws of Student's t with variance 1, by a table of its quantiles."""
    below = np.linspace(-6.5, 0, 1301)
    lower = stats.t.ppf(special.ndtr(below), nu) * _unit_scale(nu)
    table = np.concatenate([lower, -lower[-2::-1]])
    return np.interp(scores, np.linspace(-6.5, 6.5, len(table)), table)


def _unit_scale(nu: float) -> float:
    """What makes the variance of Student's t 1."""
    return np.sqrt((nu - 2) / nu)
