"""How often the tests say yes where nothing is, and where something is. Run: python -m benchmarks.size

Simulated returns with GARCH noise (1 % a session, alpha 0.08, beta 0.90, Student t6), 1,500 sessions a series of
which the last 1,000 are tested. The model forecasts normally: its median is an autoregression by least squares,
refitted every 250 sessions on all that is known, its width EWMA's. "beats" is what `verdict` says.
"""

import argparse
from time import perf_counter

import numpy as np
import pandas as pd
from scipy import stats

from app.evaluation.comparison import direction, holm, superiority, symbol_tests
from app.evaluation.significance import verdict
from app.schema import LEVELS, QUANTILES

SESSIONS, TESTED, REFIT = 1500, 1000, 250
NORMAL = stats.norm.ppf(LEVELS)


def main() -> None:
    """Print every share as a row of a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=1000, help="simulated series for the verdicts")
    parser.add_argument("--repeats", type=int, default=200, help="simulated back tests for the other tests")
    options = parser.parse_args()
    began = perf_counter()
    print("| question | planted | share of yes |\n|---|---|---|")
    for slope in (0.0, 0.1):
        found = verdicts_of(simulated(options.series, slope, seed=int(100 * slope)))
        for question, share in found.items():
            print(f"| {question} | AR(1) of {slope} | {100 * share:.1f} % |", flush=True)
    for question, planted, share in other_tests(options.repeats):
        print(f"| {question} | {planted} | {100 * share:.1f} % |", flush=True)
    print(f"\n{options.series} series, {options.repeats} repeats, {perf_counter() - began:.0f} s")


def simulated(series: int, slope: float, seed: int) -> np.ndarray:
    """(series, sessions) returns of an AR(1) with GARCH(1,1) noise."""
    random = np.random.default_rng(seed)
    noise = random.standard_t(6, size=(series, SESSIONS)) * np.sqrt(4 / 6)
    variance, returns = np.full(series, 1e-4), np.zeros((series, SESSIONS))
    for t in range(SESSIONS):
        shock = np.sqrt(variance) * noise[:, t]
        returns[:, t] = slope * returns[:, t - 1] * (t > 0) + shock
        variance = 1e-4 * 0.02 + 0.08 * shock**2 + 0.90 * variance
    return returns


def verdicts_of(returns: np.ndarray) -> dict[str, float]:
    """How often the verdict says that the autoregression beats what it is compared with."""
    asked = {
        "median beats the random walk's (MAE)": ("random-walk", "mae"),
        "odds beat those of the same width around 0 (CRPS)": ("width-only", "crps"),
    }
    yes = dict.fromkeys(asked, 0)
    medians, ewma, usual = autoregression(returns), ewma_volatility(returns), past_volatility(returns)
    first = SESSIONS - TESTED
    for one, median, width, fixed in zip(returns, medians, ewma, usual, strict=True):
        rows = slice(first - 1, SESSIONS - 1)
        parts = {"ar": (median[rows], width[rows]), "random-walk": (0.0, fixed[rows]), "width-only": (0.0, width[rows])}
        table = pd.concat([normal(name, one[None, first:], *shape) for name, shape in parts.items()])
        for question, (reference, metric) in asked.items():
            yes[question] += verdict(table, "ar", reference, 1, metric).better
    return {question: count / len(returns) for question, count in yes.items()}


def autoregression(returns: np.ndarray) -> np.ndarray:
    """(series, sessions) forecast of the next return at each session by the least squares known at the last refit."""
    forecast = np.zeros_like(returns)
    for start in range(SESSIONS - TESTED - 1, SESSIONS, REFIT):
        past, following = returns[:, :start], returns[:, 1 : start + 1]
        level, next_level = past.mean(axis=1, keepdims=True), following.mean(axis=1, keepdims=True)
        slope = ((past - level) * following).sum(axis=1, keepdims=True) / ((past - level) ** 2).sum(
            axis=1, keepdims=True
        )
        span = slice(start, start + REFIT)
        forecast[:, span] = next_level + slope * (returns[:, span] - level)
    return forecast


def ewma_volatility(returns: np.ndarray) -> np.ndarray:
    """(series, sessions) square root of the weighted mean of squares up to each session, decay 0.94."""
    weights = pd.DataFrame(returns.T**2).ewm(alpha=0.06).mean()
    return np.sqrt(weights.to_numpy().T)


def past_volatility(returns: np.ndarray) -> np.ndarray:
    """(series, sessions) square root of the mean square of the last 250 returns."""
    return np.sqrt(pd.DataFrame(returns.T**2).rolling(250, min_periods=20).mean().to_numpy().T)


def normal(model: str, actual: np.ndarray, centre, width, horizon: int = 1) -> pd.DataFrame:
    """Normal forecasts of (symbols, days) actuals as a forecasts table."""
    symbols, days = actual.shape
    sessions = pd.bdate_range("2000-01-03", periods=days + horizon).to_numpy().astype("datetime64[ns]")
    middle, wide = (np.broadcast_to(value, actual.shape).reshape(-1, 1) for value in (centre, width))
    keys = {"model": model, "symbol": np.repeat([f"S{i}" for i in range(symbols)], days), "horizon": horizon}
    dates = {"origin": np.tile(sessions[:days], symbols), "date": np.tile(sessions[horizon:], symbols)}
    quantiles = pd.DataFrame(middle + wide * NORMAL, columns=list(QUANTILES))
    return pd.DataFrame({**keys, **dates, "origin_close": 100.0, "actual": actual.ravel()}).join(quantiles)


def other_tests(repeats: int):
    """(question, what is planted, share of yes) of Holm's families, superiority and direction."""
    random = np.random.default_rng(0)
    for horizon in (1, 5, 20):
        for edge, planted in ((1.0, "nothing"), (0.95, "one of 20 symbols 5 % better")):
            found = [_families(random, horizon, edge) for _ in range(repeats // 10)]
            yield f"any of 20 symbols better or worse (Holm), h = {horizon}, 1,000 days", planted, np.mean(found)
    for horizon in (1, 5, 20):
        for edge, planted in ((1.0, "nothing"), (0.95, "one of 4 rivals 5 % better")):
            found = [_superior(random, horizon, edge) for _ in range(repeats)]
            yield f"random walk beaten by the best of 4 (SPA), h = {horizon}, 1,000 days", planted, np.mean(found)
    for horizon in (1, 5, 20):
        for knowledge, planted in ((0.0, "nothing"), (0.1, "correlation 0.1")):
            found = [_direction(random, horizon, knowledge) for _ in range(repeats)]
            yield f"median knows the direction (Pesaran-Timmermann), h = {horizon}, 1,000 days", planted, np.mean(found)


def overlapping(random, symbols: int, horizon: int) -> np.ndarray:
    """(symbols, days) sums of `horizon` heavy-tailed shocks with variance 1, one starting each day."""
    shocks = np.cumsum(random.standard_t(5, size=(symbols, TESTED + horizon)), axis=1) * np.sqrt(3 / 5 / horizon)
    return shocks[:, horizon:] - shocks[:, :-horizon]


def _families(random, horizon: int, edge: float) -> list[bool]:
    """Whether anything is certain in each of ten families of 20 symbols."""
    actual = overlapping(random, 200, horizon)
    errors = [0.6 * overlapping(random, 200, horizon) for _ in range(2)]
    errors[0][::20] *= np.sqrt(edge**2 * (1 + 0.36) - 1) / 0.6
    table = [normal(name, actual, c, 1.0, horizon) for name, c in zip(("lstm", "gjr-garch"), errors, strict=True)]
    found = symbol_tests(pd.concat(table)).sort_values("symbol", key=lambda names: names.str[1:].astype(int))
    return [bool((holm(family) < 0.05).any()) for family in found["p_value"].to_numpy().reshape(10, 20)]


def _superior(random, horizon: int, edge: float) -> bool:
    actual = overlapping(random, 1, horizon)
    parts = []
    for name in ("random-walk", "ewma", "garch", "lstm", "gru"):
        size = np.sqrt(edge**2 * (1 + 0.36) - 1) if name == "gru" else 0.6
        parts.append(normal(name, actual, size * overlapping(random, 1, horizon), 1.0, horizon))
    found = superiority(pd.concat(parts), draws=500).set_index("benchmark")
    return bool(found.loc["random-walk", "p_value"] < 0.05) if "random-walk" in found.index else False


def _direction(random, horizon: int, knowledge: float) -> bool:
    market = overlapping(random, 1, horizon)
    actual = np.sqrt(0.5) * (market + overlapping(random, 10, horizon)) + 0.05
    median = knowledge * actual + np.sqrt(1 - knowledge**2) * overlapping(random, 10, horizon) + 0.3
    return bool(direction(normal("lstm", actual, median, 1.0, horizon))["p_value"].iloc[0] < 0.05)


if __name__ == "__main__":
    main()
