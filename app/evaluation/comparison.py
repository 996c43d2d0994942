"""Which models differ, asked of many symbols or many models at once, and whether a median knows the direction.

Asked often enough, chance answers yes: p-values are corrected for the number of symbols (Holm) or
of models (Hansen's superior predictive ability). Days are the sample throughout.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
from scipy import special

from app.dataset.targets import TARGETS
from app.evaluation.metrics import day_means, losses
from app.evaluation.overlap import mean_variance
from app.evaluation.significance import Asked, block_length, block_starts, diebold_mariano, questions, studentised
from app.evaluation.verdict import ALPHA, MIN_SPANS, RANDOM_WALK
from app.schema import MEDIAN

QUESTION = ("metric", "model", "reference", "horizon")
SYMBOL_COLUMNS = (*QUESTION, "symbol", "days", "ratio", "statistic", "p_value", "p_holm")
SUMMARY_COLUMNS = (*QUESTION, "symbols", "ratio", "lower", "better", "worse")
RIVAL_COLUMNS = ("horizon", "benchmark", "models", "best", "ratio", "p_value", "days")
DIRECTION_COLUMNS = ("model", "horizon", "days", "symbols", "right", "expected", "statistic", "p_value")
BENCHMARKS = (RANDOM_WALK, "gjr-garch", "base-rate")
MIN_MODELS = 4
"""From how many models `superiority` asks: fewer are compared pair by pair."""


def symbol_tests(
    forecasts: pd.DataFrame, references: Iterable[str] | None = None, asked: Asked = TARGETS["return"].questions
) -> pd.DataFrame:
    """Diebold-Mariano for every symbol by itself, on the rows that model and reference both have.

    The statistic is that of `diebold_mariano`; its p-value is two-sided, from Student's t with one
    degree of freedom less than the days hold whole horizons. Holm's correction looks far into the tail,
    where days - 1 degrees are too many for overlapping forecasts: in 200 simulated families of 20 symbols without any
    difference (20 sessions ahead, 1000 days) they find one in 8 %, these in 5 %.

    Args:
        forecasts: a forecasts table.
        references, asked: as in `significance.verdicts`.

    Returns:
        `SYMBOL_COLUMNS`, in the order of `significance.verdicts`, then by symbol. ratio is the mean
        loss over the reference's; p_holm is corrected for the symbols of its question. Where a symbol
        has fewer days than `MIN_SPANS` horizons, or its losses never differ, statistic is NaN and p 1.
    """
    parts = {m: dict(tuple(losses(forecasts, m).groupby(["model", "horizon"]))) for m, _ in asked}
    tables = [pd.DataFrame(columns=list(SYMBOL_COLUMNS))]
    for metric, model, reference, horizon in questions(forecasts, references, asked):
        if (model, horizon) in parts[metric] and (reference, horizon) in parts[metric]:
            one, other = (_by_symbol(parts[metric][name, horizon]) for name in (model, reference))
            rows = pd.DataFrame(_test_each(one, other, horizon), columns=list(SYMBOL_COLUMNS[4:-1]))
            named = rows.assign(metric=metric, model=model, reference=reference, horizon=horizon)
            tables.append(named.assign(p_holm=holm(rows["p_value"].to_numpy()))[list(SYMBOL_COLUMNS)])
    return pd.concat(tables[1:] or tables, ignore_index=True)


def summary(tests: pd.DataFrame) -> pd.DataFrame:
    """One row of `SUMMARY_COLUMNS` per question of `symbol_tests`.

    ratio is the mean over symbols; lower the share of symbols whose loss is lower than the reference's;
    better and worse count the symbols that differ significantly at 5 % after Holm's correction.
    """
    lower = tests["ratio"] < 1
    certain = tests["p_holm"] < ALPHA
    marked = tests.assign(symbols=1, lower=lower, better=certain & lower, worse=certain & ~lower)
    how = {"symbols": "sum", "ratio": "mean", "lower": "mean", "better": "sum", "worse": "sum"}
    return marked.groupby(list(QUESTION), sort=False, as_index=False).agg(how)[list(SUMMARY_COLUMNS)]


def holm(p_values: np.ndarray) -> np.ndarray:
    """(n,) p-values corrected so that any false alarm among all n has at most the nominal probability.

    Source: Holm (1979), Scandinavian Journal of Statistics 6, 65-70.
    """
    p_values = np.asarray(p_values, "float64")
    order = np.argsort(p_values)
    stepped = np.maximum.accumulate((len(p_values) - np.arange(len(p_values))) * p_values[order])
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def superiority(forecasts: pd.DataFrame, metric: str = "crps", draws: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Is any of the other models better than this one, after so many were tried?

    Asked of `BENCHMARKS` and of the model with the lowest loss, where more than three
    models compete at a horizon. A low p-value: the benchmark is beaten, not by luck alone.

    Args:
        forecasts: a forecasts table; days are those that all models have, averaged over symbols.
        metric: see `metrics.losses`.
        draws, seed: of the bootstrap over blocks of `block_length` days.

    Returns:
        `RIVAL_COLUMNS`: models counts the rivals, best is that with the lowest loss, ratio its mean loss over
        the benchmark's, p_value Hansen's consistent one. Fewer days than `MIN_SPANS` horizons are passed over.

    Source: Hansen (2005), "A test for superior predictive ability", JBES 23, 365-380. Its distribution comes from the
    block bootstrap of `day_block_interval`, studentised in each draw. `arch.bootstrap.SPA` is not: of
    benchmarks that nothing beats it called 20 of 100 beaten at the 5 % level, this 36 of 500 (20 sessions
    ahead, 500 days, 5 rivals).
    """
    rows = []
    for horizon, days in day_means(forecasts, metric).groupby("horizon"):
        if days.shape[1] < MIN_MODELS or len(days) < MIN_SPANS * horizon:
            continue
        lowest = days.mean().idxmin()
        for benchmark in dict.fromkeys(name for name in (*BENCHMARKS, lowest) if name in days):
            rivals = days.drop(columns=benchmark)
            best = rivals.mean().idxmin()
            ratio = rivals[best].mean() / days[benchmark].mean()
            gains = days[benchmark].to_numpy()[:, None] - rivals.to_numpy()
            p_value = _chance_of_best(gains, int(horizon), draws, seed)
            rows.append((int(horizon), benchmark, rivals.shape[1], best, float(ratio), p_value, len(days)))
    return pd.DataFrame(rows, columns=list(RIVAL_COLUMNS))


def direction(forecasts: pd.DataFrame) -> pd.DataFrame:
    """Does the median know whether the price will rise? Right more often than two unrelated guessers would be.

    A median that is always positive is right whenever prices rise, and knows nothing: what counts is whether
    its sign moves with that of the actual. Averaged over the symbols of each day; actuals of 0 are left out,
    a median of 0 says half yes, half no.

    Returns:
        `DIRECTION_COLUMNS`: right, the share of right signs; expected, the share that the same numbers
        of rises said and seen would give without relation; statistic, positive when right is higher, and
        its one-sided p-value. statistic is NaN and p 1 where a median never changes its sign, or
        where there are fewer days than `MIN_SPANS` horizons.

    Source: Pesaran & Timmermann (1992), JBES 10, 461-465, whose statistic is the covariance of the two signs over its
    standard error. Here that error takes days as clusters and h - 1 autocovariances, as serial dependence
    asks for: Pesaran & Timmermann (2009), JASA 104, 325-337. For one symbol at horizon 1 both agree in large samples.
    """
    actual = forecasts["actual"]
    known = forecasts.loc[actual.notna() & (actual != 0), ["model", "horizon", "origin", "symbol", MEDIAN, "actual"]]
    known = known.assign(said=(np.sign(known[MEDIAN]) + 1) / 2, was=(known["actual"] > 0).astype("float64"))
    known["both"] = known["said"] * known["was"]
    rows = []
    for (model, horizon), part in known.groupby(["model", "horizon"], sort=False):
        means = part.groupby("origin")[["said", "was", "both"]].mean().to_numpy()
        rows.append((model, int(horizon), len(means), part["symbol"].nunique(), *_related(means, int(horizon))))
    return pd.DataFrame(rows, columns=list(DIRECTION_COLUMNS))


def _by_symbol(part: pd.DataFrame) -> pd.DataFrame:
    """Losses of one model at one horizon: one row per origin, one column per symbol."""
    return part.pivot(index="origin", columns="symbol", values="loss")


def _test_each(one: pd.DataFrame, other: pd.DataFrame, horizon: int) -> Iterator[tuple]:
    """symbol, days, ratio, statistic, p_value of every symbol that both tables have."""
    one, other = one.align(other, join="inner")
    for symbol in one.columns:
        loss, reference = one[symbol].to_numpy(), other[symbol].to_numpy()
        both = np.isfinite(loss - reference)
        loss, reference = loss[both], reference[both]
        if not reference.any():
            continue
        statistic = np.nan
        if len(loss) >= MIN_SPANS * horizon:
            statistic = diebold_mariano(loss, reference, horizon).statistic
        p_value = 2 * _tail(abs(statistic), len(loss), horizon)
        yield symbol, len(loss), loss.mean() / reference.mean(), statistic, min(p_value, 1.0)


def _tail(statistic: float, days: int, horizon: int) -> float:
    """Probability that chance exceeds a statistic; 1 where there is none."""
    return 1.0 if np.isnan(statistic) else float(special.stdtr(days / horizon - 1, -statistic))


def _chance_of_best(gains: np.ndarray, horizon: int, draws: int, seed: int) -> float:
    """Consistent p-value of the best of (days, rivals) gains over a benchmark."""
    days = len(gains)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = gains.mean(axis=0) / np.sqrt([mean_variance(gain, horizon) for gain in gains.T])
    near = t >= -np.sqrt(2 * np.log(np.log(days)))
    if not np.nanmax(t, initial=-np.inf) > 0:
        return 1.0
    block, alike = block_length(days, horizon), np.ones(days)
    starts = block_starts(days, block, draws, seed)
    luck = np.max([studentised(gain, alike, starts, block) for gain in gains.T[near]], axis=0)
    return float((luck >= np.nanmax(t)).mean())


def _related(means: np.ndarray, horizon: int) -> tuple[float, float, float, float]:
    """right, expected, statistic, p_value from (days, 3) means of said, was and both."""
    said, was, both = means.T
    rises, seen = said.mean(), was.mean()
    right = (2 * both - said - was + 1).mean()
    expected = 2 * rises * seen - rises - seen + 1
    together = both - rises * was - seen * said + rises * seen
    statistic = np.nan
    if len(means) >= MIN_SPANS * horizon and np.ptp(together) > 1e-12:
        statistic = float(together.mean() / np.sqrt(mean_variance(together, horizon)))
    return float(right), float(expected), statistic, _tail(statistic, len(means), horizon)
