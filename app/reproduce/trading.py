"""Fischer & Krauss (2018) run again: the network beside rules that need no training, before and after costs."""

import logging

import numpy as np
import pandas as pd

from app.reproduce.acl18 import PAPER
from app.reproduce.fischer_krauss import Ranking, StudyPeriod, daily_returns, portfolio, study_periods
from app.reproduce.scores import Statistic
from app.reproduce.settings import Reproduction
from app.reproduce.study import OURS, RULE, Study

log = logging.getLogger(__name__)

NAME = "fischer-krauss"
SESSIONS_A_YEAR = 252
PUBLISHED = (
    ("lstm", 0.0046, 0.0026, 5.83, 2.34, 0.543), ("random forest", 0.0043, 0.0023, 5.00, 1.87, 0.538),
    ("deep network", 0.0032, 0.0012, 2.43, 0.52, 0.537), ("logistic regression", 0.0026, 0.0006, 1.70, 0.10, 0.522),
)  # fmt: skip
"""Model, mean return a day before and after costs, Sharpe ratio a year before and after, accuracy of the picks:
10 long and 10 short of the members of the S&P 500 on each day from December 1992 to October 2015."""

TABLE_COLUMNS = (
    *("who", "model", "daily_before", "daily_before_low", "daily_before_high", "daily_after", "daily_after_low"),
    *("daily_after_high", "sharpe_before", "sharpe_after", "accuracy", "accuracy_low", "accuracy_high", "days"),
)
PUBLISHED_COLUMNS = ("model", "daily_before", "daily_after", "sharpe_before", "sharpe_after", "accuracy")

SURVIVORS = (
    "survivor-only universe: the panel holds what is listed when it was made, not who was a member at the time, so "
    "returns of the long side are too high, and these figures cannot be set against the published ones as equals"
)


def reproduce(prices: pd.DataFrame, choice: Reproduction, seed: int = 0, protocol: Ranking | None = None) -> Study:
    """Train on the newest study periods, trade what follows each, and set network and rules side by side.

    Args:
        prices: a price table, sound.
        seed: the first; others follow it. Daily returns are the mean over seeds.
        protocol: that of the paper when None.

    Raises:
        DataError: too few sessions or symbols.
        TrainingError: a network gave nothing finite.
    """
    protocol = protocol or Ranking()
    earned: dict[tuple[str, str], list[pd.DataFrame]] = {}
    runs, forecasts = [], []
    for number, period in enumerate(study_periods(daily_returns(prices), protocol, choice.periods), start=1):
        log.info("period %d of %d: %s", number, choice.periods, _described(period))
        results = []
        for one in range(seed, seed + (choice.seeds or 1)):
            score, epoch = _trained(period, protocol, choice, one)
            results.append(portfolio(period.trading, score, protocol.picks))
            runs.append(_run(period, one, epoch, results[-1], protocol))
            forecasts.append(_forecasts(period, one, score))
        earned.setdefault((OURS, "lstm"), []).append(sum(results[1:], results[0]) / len(results))
        for name, result in _rules(period, protocol).items():
            earned.setdefault((RULE, name), []).append(result)
    rows = [{"who": PAPER, **dict(zip(PUBLISHED_COLUMNS, row, strict=True))} for row in PUBLISHED]
    rows += [_row(who, name, pd.concat(parts), protocol) for (who, name), parts in earned.items()]
    table = pd.DataFrame(rows, columns=list(TABLE_COLUMNS))
    sentences = (SURVIVORS, _sentence(table[table["who"] == OURS].iloc[0]))
    found = (table, pd.DataFrame(runs), pd.concat(forecasts, ignore_index=True), sentences)
    return Study(NAME, *found, text=_text(table, found[1], sentences, protocol))


def _trained(period: StudyPeriod, protocol: Ranking, choice: Reproduction, seed: int) -> tuple[np.ndarray, int]:
    """Odds of what is traded, and the best epoch."""
    from app.reproduce.networks import train_ranking  # Keras starts here: not for data that are refused

    trained = train_ranking(period, protocol, seed, choice.epochs, choice.updates)
    return trained.score, trained.epoch


def _rules(period: StudyPeriod, protocol: Ranking) -> dict[str, pd.DataFrame]:
    """Ranked by the newest return alone, the lowest or the highest first."""
    newest = period.panel[period.trading.ends, 0]
    ranked = {"1-day reversal": -newest, "1-day momentum": newest}
    return {name: portfolio(period.trading, score, protocol.picks) for name, score in ranked.items()}


def _row(who: str, name: str, result: pd.DataFrame, protocol: Ranking) -> dict:
    """One row of the table from the days of all periods."""
    before, right = result["earned"].to_numpy(), result["right"].to_numpy()
    row = {"who": who, "model": name, "days": len(result)}
    for when, values in (("before", before), ("after", before - protocol.daily_cost)):
        row |= _columns(f"daily_{when}", values)
        spread = values.std(ddof=1) if len(values) > 1 else 0.0
        row[f"sharpe_{when}"] = np.sqrt(SESSIONS_A_YEAR) * values.mean() / spread if spread > 0 else np.nan
    return row | _columns("accuracy", right)


def _columns(measure: str, by_day: np.ndarray) -> dict:
    low, high = Statistic(float(by_day.mean()), by_day).interval
    return {measure: float(by_day.mean()), f"{measure}_low": low, f"{measure}_high": high}


def _run(period: StudyPeriod, seed: int, epoch: int, result: pd.DataFrame, protocol: Ranking) -> dict:
    mean = float(result["earned"].mean())
    return {
        "trades_from": str(result.index.min().date()),
        "trades_to": str(result.index.max().date()),
        "symbols": len(period.symbols),
        "sequences": len(period.training),
        "seed": seed,
        "epoch": epoch,
        "daily_before": mean,
        "daily_after": mean - protocol.daily_cost,
        "accuracy": float(result["right"].mean()),
    }


def _forecasts(period: StudyPeriod, seed: int, score: np.ndarray) -> pd.DataFrame:
    traded = period.trading
    return pd.DataFrame(
        {
            "seed": seed,
            "symbol": np.asarray(period.symbols)[traded.symbol],
            "date": traded.day,
            "odds_above": score,
            "returns": traded.returns,
        }
    )


def _described(period: StudyPeriod) -> str:
    parts = (period.training, period.validation, period.trading)
    counts = " / ".join(f"{len(part):,}" for part in parts)
    first, last = period.trading.day.min(), period.trading.day.max()
    return f"{len(period.symbols)} symbols, {counts} sequences to train, check and trade, {first} to {last}"


def _sentence(row: pd.Series) -> str:
    """What the network's row says, and no more."""
    if row["daily_after_low"] > 0:
        conclusion = "more than nothing after costs"
    elif row["daily_before_low"] > 0:
        conclusion = "more than nothing before costs only"
    else:
        conclusion = "no evidence of a return, even before costs"
    low, high = 100 * row["daily_before_low"], 100 * row["daily_before_high"]
    return (
        f"lstm: {100 * row['daily_before']:.3f} % a day before costs, 95 % interval {low:.3f} to {high:.3f}, and "
        f"{100 * row['daily_after']:.3f} % after 5 bp a half-turn, {row['days']:.0f} days: {conclusion}."
    )


def _text(table: pd.DataFrame, runs: pd.DataFrame, sentences: tuple[str, ...], protocol: Ranking) -> str:
    """The table in percent, the sentences, and every run."""
    percent = [name for name in table if str(name).startswith(("daily", "accuracy"))]
    shown = table.assign(**{name: 100 * table[name] for name in percent}).round(3)
    listed = runs.assign(**{name: (100 * runs[name]).round(3) for name in runs if name in percent})
    head = (
        f"{NAME}: long {protocol.picks}, short {protocol.picks}; daily returns and accuracy of the picks in percent, "
        "low and high: 95 %, by blocks of days"
    )
    parts = [
        f"{head}\n{shown.to_string(index=False, na_rep='–')}",
        "\n".join(sentences),
        f"every run:\n{listed.to_string(index=False)}",
    ]
    return "\n\n".join(parts)
