"""Sums of returns whose variance moves: without a closed form beyond one session, so simulated once for each state."""

from collections.abc import Callable

import numpy as np
from scipy import special

from app.schema import LEVELS

NODES = np.geomspace(1 / 8, 16, 29)
"""Volatility at the origin over the long-run one, where sums of returns are simulated; clamped beyond."""

PATHS = 2**14
"""Simulated paths, half of them mirror images of the other half."""

SEED = 20_000
"""Scrambles the Sobol points. It is fixed: all symbols, origins and runs share the same draws."""

Step = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""The variance (paths,) after a session, from that of the session and its standardised returns."""


def shapes(
    step_from: Callable[[float], Step], nu: float, ratio: np.ndarray, horizons: tuple[int, ...], draws: np.ndarray
) -> np.ndarray:
    """Quantiles of (sum of h returns - h mean) / volatility of the next session.

    Given the parameters they depend on the origin only through `ratio`. They are simulated at NODES and
    interpolated linearly in its logarithm; a node depends on no other, so only those asked for are simulated.

    Args:
        step_from: how the variance moves, as a multiple of that of the next session, for a given ratio.
        nu: degrees of freedom of the standardised returns.
        ratio: (n,) volatility of the next session over the long-run one.
        horizons: sessions ahead.
        draws: (steps, paths) from `normal_scores`.

    Returns:
        (n, horizons, levels).
    """
    position = np.interp(np.log(ratio), np.log(NODES), np.arange(len(NODES)))
    below = np.minimum(position.astype(int), len(NODES) - 2)
    weight = (position - below)[:, None, None]
    table = np.zeros((len(NODES), len(horizons), len(LEVELS)))
    steps = _student(draws, nu)
    for node in np.union1d(below, below + 1):
        table[node] = _simulated(step_from(float(NODES[node])), horizons, steps)
    table[:, np.array(horizons) == 1] = special.stdtrit(nu, LEVELS) * unit_scale(nu)
    return (1 - weight) * table[below] + weight * table[below + 1]


def _simulated(step_on: Step, horizons: tuple[int, ...], steps: np.ndarray) -> np.ndarray:
    """(horizons, levels) quantiles over paths that begin at variance 1."""
    variance, total = np.ones(steps.shape[1]), np.zeros(steps.shape[1])
    quantiles = []
    for ahead, step in enumerate(steps, start=1):
        total += np.sqrt(variance) * step
        if ahead in horizons:
            quantiles.append(np.quantile(total, LEVELS))
        variance = step_on(variance, step)
    return np.array(quantiles)


def normal_scores(steps: int) -> np.ndarray:
    """(steps, PATHS) standard normal draws: scrambled Sobol points and their mirror images.

    Source: Owen (1998), Journal of Complexity 14, 466-489.
    """
    from scipy.stats import qmc  # costs a second: only when something is simulated

    points = qmc.Sobol(steps, scramble=True, rng=SEED).random(PATHS // 2).T
    half = special.ndtri(points)
    return np.concatenate([half, -half], axis=1)


def _student(scores: np.ndarray, nu: float) -> np.ndarray:
    """Normal draws turned into draws of Student's t with variance 1, by a table of its quantiles."""
    below = np.linspace(-6.5, 0, 1301)
    lower = special.stdtrit(nu, special.ndtr(below)) * unit_scale(nu)
    table = np.concatenate([lower, -lower[-2::-1]])
    return np.interp(scores, np.linspace(-6.5, 6.5, len(table)), table)


def unit_scale(nu: float) -> float:
    """What makes the variance of Student's t 1."""
    return np.sqrt((nu - 2) / nu)
