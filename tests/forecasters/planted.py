"""Series whose truth is known, and prices whose future was taken away or turned to noise."""

import numpy as np
import pandas as pd

from app.dataset.windows import Windows, WindowSpec

SPEC = WindowSpec(lookback=5, horizons=(1, 4))
CUTOFF, VALIDATION = "2023-06-30", "2022-12-30"
SLOPES, LEVELS_OF = (0.3, 0.3, 0.3), {"CALM": 0.1 * np.log(0.006), "WILD": 0.1 * np.log(0.03)}
"""Of `ranged` prices: what volatility is made of, and each symbol's level."""


def price_table(returns: dict[str, np.ndarray], last: str = "2024-12-31") -> pd.DataFrame:
    """Weekday prices of symbols whose log returns are given; all end on the same day."""
    tables = []
    for symbol, steps in returns.items():
        close = 50 * np.exp(np.concatenate([[0.0], np.cumsum(steps)]))
        dates = pd.bdate_range(end=last, periods=len(close)).to_numpy()
        columns = {"open": close, "high": close * 1.004, "low": close * 0.996, "close": close, "volume": 1e6}
        tables.append(pd.DataFrame({"symbol": symbol, "date": dates, **columns, "dividend": 0.0, "split": 1.0}))
    return pd.concat(tables, ignore_index=True)


def gjr_returns(dynamics: tuple[float, ...], sessions: int, seed: int) -> np.ndarray:
    """(sessions,) simulated returns; dynamics: mean, omega, alpha, gamma, beta, nu."""
    mean, omega, alpha, gamma, beta, nu = dynamics
    draws = np.random.default_rng(seed).standard_t(nu, sessions) * np.sqrt((nu - 2) / nu)
    variance, returns = omega / (1 - alpha - gamma / 2 - beta), []
    for draw in draws:
        residual = np.sqrt(variance) * draw
        returns.append(mean + residual)
        variance = omega + (alpha + gamma * (residual < 0)) * residual**2 + beta * variance
    return np.array(returns)


def without_future(prices: pd.DataFrame, day: str, change: str) -> pd.DataFrame:
    """The rows after `day` "removed", or their prices multiplied by "noise"."""
    later = (prices["date"] > pd.Timestamp(day)).to_numpy()
    if change == "removed":
        return prices[~later]
    altered = prices.copy()
    factor = np.random.default_rng(5).uniform(0.5, 2, (later.sum(), 1))
    altered.loc[later, ["open", "high", "low", "close"]] *= factor
    return altered


def learning_sets(windows: Windows, cutoff: str, validation: str) -> tuple[Windows, Windows]:
    """What was known at the cutoff, parted at the day validation begins."""
    known = windows.known_by(np.datetime64(cutoff))
    start = np.datetime64(validation)
    return known.known_by(start - 1), known.originating(start, np.datetime64(cutoff) + 1)


def egarch_returns(dynamics: tuple[float, ...], sessions: int, seed: int) -> np.ndarray:
    """(sessions,) simulated returns; dynamics: mean, omega, alpha, gamma, beta, nu."""
    mean, omega, alpha, gamma, beta, nu = dynamics
    draws = np.random.default_rng(seed).standard_t(nu, sessions) * np.sqrt((nu - 2) / nu)
    level, returns = omega / (1 - beta), []
    for draw in draws:
        returns.append(mean + np.exp(level / 2) * draw)
        level = omega + alpha * (abs(draw) - np.sqrt(2 / np.pi)) + gamma * draw + beta * level
    return np.array(returns)


def ranged(symbols: dict[str, tuple[float, int]], slopes: tuple[float, ...], noise: float, seed: int = 0):
    """Weekday prices whose log range volatility x follows level + slopes · means of its last 1, 5 and 22, plus noise.

    symbols: name → (level, sessions). Closes lie near the middle of the range, so that the high and
    low alone are the true range: (high / low) = exp(x) sqrt(4 log 2).
    """
    tables = []
    for number, (symbol, (level, sessions)) in enumerate(symbols.items()):
        rng = np.random.default_rng(seed + number)
        x = [level / (1 - sum(slopes))] * 22
        for _ in range(sessions):
            means = (x[-1], np.mean(x[-5:]), np.mean(x[-22:]))
            x.append(level + np.dot(slopes, means) + noise * rng.normal())
        width = np.exp(np.array(x[22:])) * np.sqrt(4 * np.log(2))
        offset = 0.25 * width.min() * rng.uniform(-1, 1, sessions)
        close = 50 * np.exp(offset)
        columns = {"open": close, "high": 50 * np.exp(width / 2), "low": 50 * np.exp(-width / 2), "close": close}
        dates = pd.bdate_range(end="2024-12-31", periods=sessions).to_numpy()
        tables.append(pd.DataFrame({"symbol": symbol, "date": dates, **columns, "volume": 1e6}))
    return pd.concat(tables, ignore_index=True).assign(dividend=0.0, split=1.0)
