"""EGARCH with Student t errors, one model a symbol: the log variance moves by the sign and the size of the news."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import exp, isfinite, log
from typing import Any

import numpy as np

from app.allowed import check_ranges
from app.dataset.features import DECAY, FLOOR
from app.dataset.windows import Panel, Windows
from app.forecasters.simulation import Step
from app.forecasters.symbolwise import PERCENT, FittedEach, fit_each, maximum, medians, with_mean

USUAL = np.sqrt(2 / np.pi)
"""Mean of |z| for a normal z. For Student's t it is less; what is left over is in omega, as in arch."""

FURTHEST = 10.0
"""The logarithm of sigma² / v stays within ± this: the exponential of a price error must not be the end of a series."""


@dataclass(frozen=True)
class Dynamics:
    """How the variance of one symbol moves: z = (r - mean) / sigma, x = log(sigma² / v), v the long-run variance:

        x[t+1] = omega + alpha (|z[t]| - sqrt(2 / pi)) + gamma z[t] + beta x[t]

    nu: degrees of freedom of z. start: x of the first session from `since` on (ISO date). variance: v, per
    session; None means the mean of (r - mean)² over the symbol's own past up to each origin, for a symbol
    without a fit of its own.

    Source: Nelson (1991), Econometrica 59, 347-370, eq. 2.1 and 2.2, with Student's t in place of his GED.
    """

    mean: float
    omega: float
    alpha: float
    gamma: float
    beta: float
    nu: float
    start: float = 0.0
    variance: float | None = None
    since: str = "1900-01-01"

    def volatility(self, panel: Panel, code: int, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Volatility of the next session known at each origin, and the long-run one it is measured by.

        The recursion starts on a date, not in a row, from a stored value: a panel that ends earlier
        changes nothing, and one that begins elsewhere nothing after that date.

        Returns:
            (n,), (n,) per session.
        """
        rows = slice(panel.offsets[code], ends.max() + 1)
        known = np.isfinite(panel.returns[rows])
        residual = panel.returns[rows][known] - self.mean
        if self.variance is None:
            unit = np.maximum(np.cumsum(np.square(residual)) / np.arange(1, len(residual) + 1), FLOOR**2)
        else:
            unit = np.full(len(residual), self.variance)
        restart = int(np.searchsorted(panel.date[rows][known], np.datetime64(self.since)))
        sigma = np.sqrt(unit)
        size = np.abs(residual) / np.concatenate([sigma[:1], sigma[:-1]])
        states = np.array(self._filtered(size.tolist(), (residual < 0).tolist(), restart))
        newest = (np.cumsum(known) - 1)[ends - panel.offsets[code]]
        return np.maximum(sigma * np.exp(states / 2), FLOOR)[newest], sigma[newest]

    def step_from(self, ratio: float) -> Step:
        """How the variance moves on from a session whose volatility is `ratio` times the long-run one."""
        origin = 2 * log(ratio)

        def step_on(variance: np.ndarray, step: np.ndarray) -> np.ndarray:
            news = self.alpha * (np.abs(step) - USUAL) + self.gamma * step
            state = self.omega + news + self.beta * (origin + np.log(variance))
            return np.exp(np.clip(state, -FURTHEST, FURTHEST) - origin)

        return step_on

    def _filtered(self, size: list[float], falls: list[bool], restart: int) -> list[float]:
        """x of the session after each row; the recursion is not linear, so it is a loop over plain floats.

        Args:
            size: |residual| over the long-run volatility; falls: whether it was negative.
            restart: the row at which x is `start`, as it is in the first.
        """
        states, x = [], self.start
        for row, (moved, fell) in enumerate(zip(size, falls, strict=True)):
            x = self.start if row == restart else x
            z = moved * exp(-x / 2)
            x = self.omega + self.alpha * (z - USUAL) + self.gamma * (-z if fell else z) + self.beta * x
            x = min(max(x, -FURTHEST), FURTHEST)
            states.append(x)
        return states


UNFITTED = Dynamics(mean=0.0, omega=0.0, alpha=2 * (1 - DECAY), gamma=0.0, beta=0.98, nu=6.0)
"""What is assumed where no symbol could be fitted at all."""


@dataclass(frozen=True)
class Egarch:
    """Recipe: constant mean, EGARCH(1,1,1), Student t, by maximum likelihood.

    years, pooled_mean: as in `garch.Garch`.

    Source: Nelson (1991), Econometrica 59, 347-370. The fit is that of the arch package.
    """

    years: int = 10
    pooled_mean: bool = True

    __pydantic_config__ = {"extra": "forbid"}

    def __post_init__(self) -> None:
        check_ranges("egarch", self, {"years": (1, 100)}, unit="years")

    @property
    def name(self) -> str:
        """As in settings and tables."""
        return "egarch"

    def fit(self, train: Windows, validation: Windows) -> "FittedEgarch":
        """Fit every symbol of both sets on its returns up to the newest session they know.

        A symbol with fewer than `symbolwise.LEAST` returns, or whose likelihood finds no maximum from two
        starts, gets the medians of the others' parameters, around its own variance.

        Raises:
            DataError: no window has a known target.
        """
        found: dict[str, Any] = fit_each(self.name, (train, validation), self.years, _maximum_likelihood)
        pooled = _pooled(found)
        found = with_mean(found, pooled.mean) if self.pooled_mean else found
        return FittedEgarch(self.name, found, pooled)


class FittedEgarch(FittedEach):
    """The dynamics of every symbol fitted, and those of any other."""

    FILE = "egarch.json"
    DYNAMICS = Dynamics


def _maximum_likelihood(dates: np.ndarray, returns: np.ndarray) -> Dynamics | None:
    """The dynamics of one symbol; None where no maximum is found, or one that never returns to a level."""
    from arch import arch_model  # costs two seconds: only when a symbol is fitted

    percent = PERCENT * returns
    model = arch_model(percent, vol="EGARCH", p=1, o=1, q=1, dist="t", rescale=False)
    second = [percent.mean(), 0.02 * np.log(percent.var()), 0.12, -0.04, 0.98, 6.0]
    result = maximum(model, np.array(second))
    if result is None:
        return None
    found = result.params
    unit = float(np.mean(np.square(result.resid)))
    dynamics = Dynamics(
        mean=float(found["mu"]) / PERCENT,
        omega=float(found["omega"] + (found["beta[1]"] - 1) * np.log(unit)),
        alpha=float(found["alpha[1]"]),
        gamma=float(found["gamma[1]"]),
        beta=float(found["beta[1]"]),
        nu=float(found["nu"]),
        start=float(np.log(result.conditional_volatility[0] ** 2 / unit)),
        variance=unit / PERCENT**2,
        since=str(dates[0]),
    )
    return dynamics if isfinite(dynamics.start) and abs(dynamics.beta) < 1 else None


def _pooled(found: Mapping[str, Dynamics]) -> Dynamics:
    """Medians over the symbols fitted; omega such that the level of x is the median of theirs."""
    if not found:
        return UNFITTED
    middle: dict[str, Any] = medians(found, ("mean", "alpha", "gamma", "beta", "nu"))
    level = float(np.median([one.omega / (1 - one.beta) for one in found.values()]))
    return replace(UNFITTED, **middle, omega=level * (1 - middle["beta"]), start=level)
