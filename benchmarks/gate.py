"""How often the gate promotes, and how often the live record raises an alarm. Run: python -m benchmarks.gate

Five symbols with a correlation of 0.5, Student t5 returns and a volatility that moves (log AR(1), 0.97). The right
forecast is normal with the volatility of the day. A model's defect is one of three, of the size that makes its
CRPS the wanted share higher: its medians lean one way ("lean"), its widths are wrong for weeks at a time ("width"), its
medians are noisy ("noise"). Of two models that are equal both have the defect, each its own.
"""

import argparse
from collections.abc import Iterator
from functools import cache
from time import perf_counter

import numpy as np
import pandas as pd
from scipy import stats

from app.evaluation.drift import Record, alarms
from app.evaluation.gate import Rules, decide, judge, matched
from app.evaluation.metrics import crps
from app.evaluation.verdict import RANDOM_WALK
from app.schema import FORECAST_COLUMNS, FORECAST_KEYS, LEVELS, QUANTILES

NORMAL = stats.norm.ppf(LEVELS)
SYMBOLS = 5
DEFECTS = ("lean", "width", "noise")
ALL = (1, 5, 20)


def main() -> None:
    """Print every share as a row of a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=1000)
    options = parser.parse_args()
    began = perf_counter()
    print("| challenger | sessions | horizons | lean | width | noise |\n|---|---|---|---|---|---|")
    for meaning, ours, theirs, sizes in questions():
        for sessions, horizons in sizes:
            shares = [promoted(options.simulations, sessions, horizons, defect, ours, theirs) for defect in DEFECTS]
            cells = " | ".join(f"{100 * share:.1f} %" for share in shares)
            print(f"| {meaning} | {sessions} | {', '.join(map(str, horizons))} | {cells} |", flush=True)
    print(f"| NaN or infinite | 60 | 1, 5, 20 | {100 * not_finite(options.simulations):.1f} % | | |")
    print("\n| live record of 250 sessions, looked at once | any alarm |\n|---|---|")
    for meaning, width, lean in (("as promised", 1.0, 0.0), ("a quarter too narrow", 0.75, 0.0), ("leaning", 1.0, 0.3)):
        print(f"| {meaning} | {100 * alarmed(options.simulations // 5, width, lean):.1f} % |", flush=True)
    print(f"\n{options.simulations} simulations a cell, {perf_counter() - began:.0f} s")


def questions() -> Iterator[tuple[str, float, float, list]]:
    """(meaning, excess CRPS of the challenger, of the champion, [(sessions, horizons)])."""
    sizes = [(60, ALL), (60, (1,)), (120, ALL), (250, ALL)]
    yield "equal", 0.05, 0.05, sizes
    yield "10 % worse", 0.10, 0.0, sizes[:2]
    yield "5 % better", 0.0, 1 / 0.95 - 1, sizes


def promoted(simulations: int, sessions: int, horizons: tuple, defect: str, ours: float, theirs: float) -> float:
    """Share of simulations in which the gate promotes."""
    yes = 0
    for seed in range(simulations):
        market = Market(seed, sessions, horizons)
        side = market.random.choice([-1, 1])
        losses = [
            market.losses(**market.defect(defect, excess_crps, sign * side))
            for excess_crps, sign in ((ours, 1), (theirs, -1))
        ]
        yes += judge(matched(*losses, horizons, SYMBOLS), Rules(), ("new", "old")).promote
    return yes / simulations


def not_finite(simulations: int) -> float:
    """Share promoted of challengers that are better, but for one number of one forecast."""
    yes = 0
    for seed in range(simulations):
        market = Market(seed, 60, ALL)
        table = pd.concat([market.table("new"), market.table("old", noise=1.0)], ignore_index=True)
        random = market.random
        row = random.choice(np.flatnonzero(table["model"] == "new"))
        table.loc[row, random.choice(QUANTILES)] = random.choice([np.nan, np.inf, -np.inf])
        yes += decide(table, challenger="new", champion="old").promote
    return yes / simulations


def alarmed(simulations: int, width: float, lean: float) -> float:
    """Share of live records with an alarm: plain normal returns of 1 % a session, a random walk 5 % too wide."""
    yes = 0
    for seed in range(simulations):
        market = Market(seed, 250, ALL, plain=True)
        table = pd.concat([market.table("live", width=width, lean=lean), market.table(RANDOM_WALK, flat=True)])
        yes += bool(alarms(record_of(table, "live")))
    return yes / simulations


def record_of(table: pd.DataFrame, model: str) -> Record:
    """The record of a model in a forecasts table, as the journal reads it from the ledger."""
    ours, naive = (table[table["model"] == name] for name in (model, RANDOM_WALK))
    keys, said = list(FORECAST_KEYS[1:]), list(QUANTILES)
    rows = ours[ours["actual"].notna()].merge(naive[keys + said], how="left", on=keys, suffixes=("", " naive"))
    rows = rows.sort_values("origin", kind="stable")
    return Record(
        model=model,
        origin=rows["origin"].to_numpy().astype("datetime64[D]"),
        horizon=rows["horizon"].to_numpy(),
        actual=rows["actual"].to_numpy(),
        quantiles=rows[said].to_numpy(),
        naive=rows[[f"{name} naive" for name in said]].to_numpy(),
    )


class Market:
    """Returns of a few symbols, and forecasts of them that are right but for what is asked for."""

    def __init__(self, seed: int, sessions: int, horizons: tuple[int, ...], plain: bool = False):
        self.random = np.random.default_rng(seed)
        self.sessions, self.horizons = sessions, horizons
        days = sessions + max(horizons) + 1
        shape = (days, SYMBOLS + 1)
        draws = self.random.normal(size=shape) if plain else self.random.standard_t(5, shape) * np.sqrt(3 / 5)
        self.volatility = 0.01 * (np.ones(days) if plain else np.exp(0.3 * self.slow(days, 0.97)))
        returns = self.volatility[:, None] * np.sqrt(0.5) * (draws[:, :1] + draws[:, 1:])
        self.total = np.concatenate([np.zeros((1, SYMBOLS)), returns.cumsum(axis=0)])

    def slow(self, days: int, memory: float) -> np.ndarray:
        """(days,) an AR(1) of variance 1."""
        steps = self.random.normal(size=days)
        for day in range(1, days):
            steps[day] = memory * steps[day - 1] + np.sqrt(1 - memory**2) * steps[day]
        return steps

    def defect(self, kind: str, excess: float, side: int) -> dict:
        """What makes the CRPS of a model higher by a share of the right one's."""
        size = strength(kind, round(excess, 4)) if excess else 0.0
        if kind == "lean":
            return {"lean": side * size}
        if kind == "width":
            return {"width": np.exp(size * self.slow(self.sessions, 0.9))[:, None]}
        return {"noise": size}

    def forecasts(
        self, width=1.0, lean: float = 0.0, noise: float = 0.0, flat: bool = False
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """(horizon, quantiles (sessions, symbols, levels), actual (sessions, symbols)) at each horizon.

        An actual is NaN if it is not known when that of the last origin at the shortest horizon has just become known.
        """
        origins = np.arange(self.sessions)
        for horizon in self.horizons:
            actual = self.total[origins + 1 + horizon] - self.total[origins + 1]
            actual[origins + horizon >= self.sessions + min(self.horizons)] = np.nan
            known = np.full(len(origins), 0.0105) if flat else self.volatility[origins + 1]
            unit = np.repeat(np.sqrt(horizon) * known[:, None], SYMBOLS, axis=1)
            median = unit * (lean + noise * self.random.normal(size=unit.shape))
            yield horizon, median[..., None] + (width * unit)[..., None] * NORMAL, actual

    def losses(self, **asked) -> np.ndarray:
        """(sessions, horizons) mean CRPS over symbols."""
        every = [
            crps(quantiles.reshape(-1, len(LEVELS)), actual.ravel()).reshape(actual.shape).mean(axis=1)
            for _, quantiles, actual in self.forecasts(**asked)
        ]
        return np.stack(every, axis=1)

    def table(self, model: str, **asked) -> pd.DataFrame:
        """A forecasts table."""
        parts = [_rows(model, *part) for part in self.forecasts(**asked)]
        return pd.concat(parts, ignore_index=True)[list(FORECAST_COLUMNS)]


@cache
def strength(kind: str, excess: float) -> float:
    """How large a defect has to be for a CRPS that is higher by the share `excess`, by halving the range."""
    random = np.random.default_rng(1)
    actual, draw = random.standard_t(5, 100_000) * np.sqrt(3 / 5), random.normal(size=100_000)

    def cost(size: float) -> float:
        median = {"lean": size, "noise": size * draw}.get(kind, 0.0) + np.zeros(len(draw))
        width = np.exp(size * draw) if kind == "width" else np.ones(len(draw))
        return float(crps(median[:, None] + width[:, None] * NORMAL, actual).mean())

    low, high, wanted = 0.0, 3.0, (1 + excess) * cost(0.0)
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (middle, high) if cost(middle) < wanted else (low, middle)
    return (low + high) / 2


def _rows(model: str, horizon: int, quantiles: np.ndarray, actual: np.ndarray) -> pd.DataFrame:
    """One horizon of a forecasts table from (sessions, symbols, levels) and (sessions, symbols)."""
    day = np.datetime64("2024-01-01") + np.repeat(np.arange(len(actual)), SYMBOLS)
    table = pd.DataFrame(quantiles.reshape(-1, len(QUANTILES)), columns=list(QUANTILES))
    return table.assign(
        model=model, symbol=np.tile([f"S{number}" for number in range(SYMBOLS)], len(actual)), horizon=horizon,
        origin=day.astype("datetime64[ns]"), date=(day + horizon).astype("datetime64[ns]"), origin_close=100.0,
        actual=actual.ravel(),
    )  # fmt: skip


if __name__ == "__main__":
    main()
