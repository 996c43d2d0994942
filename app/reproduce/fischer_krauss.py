"""The protocol of Fischer & Krauss (2018) on whatever panel is given: which stocks beat the day's median.

A study period is 750 sessions of training and 250 of trading. Each day the stocks are ranked by the odds of a
return above the cross-sectional median of the next day; the first ten are bought, the last ten sold short.

Source: Fischer & Krauss (2018), "Deep learning with long short-term memory networks for financial market
predictions", European Journal of Operational Research 270, 654-669. No Keras here.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from app.errors import DataError
from app.prices.adjust import total_returns

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ranking:
    """What the paper says of its network and its portfolio; the learning rate and the batch it leaves open.

    picks: stocks on each side. cost: of a half-turn; the whole book is turned over daily, which makes four.
    validation: share of the training days, the newest.
    """

    training: int = 750
    trading: int = 250
    lookback: int = 240
    units: int = 25
    dropout: float = 0.1
    validation: float = 0.2
    learning_rate: float = 1e-3
    batch: int = 512
    epochs: int = 1000
    patience: int = 10
    picks: int = 10
    cost: float = 0.0005

    @property
    def daily_cost(self) -> float:
        """Two legs, each opened and closed."""
        return 4 * self.cost


@dataclass(frozen=True, eq=False)
class Returns:
    """One-day returns: day (days,) rising; symbols: names; values (days, symbols), NaN where not known."""

    day: np.ndarray
    symbols: tuple[str, ...]
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class Sequences:
    """Sequences by the row of the panel at which they end.

    ends: (n,) int32 rows; above: (n,) 1 if the return of the next day was above that day's median;
    day: (n,) datetime64[D], that next day; returns: (n,) its return; symbol: (n,) its number in the period.
    """

    ends: np.ndarray
    above: np.ndarray
    day: np.ndarray
    returns: np.ndarray
    symbol: np.ndarray

    def __len__(self) -> int:
        return len(self.ends)

    def take(self, chosen: np.ndarray) -> "Sequences":
        """Those at these positions, or where this is true."""
        return Sequences(*(getattr(self, name)[chosen] for name in ("ends", "above", "day", "returns", "symbol")))


@dataclass(frozen=True, eq=False)
class StudyPeriod:
    """panel: (rows, 1) float32, standardised by the training sessions, one symbol after the other."""

    panel: np.ndarray
    symbols: tuple[str, ...]
    training: Sequences
    validation: Sequences
    trading: Sequences


def daily_returns(prices: pd.DataFrame) -> Returns:
    """Simple one-day returns, dividends included, of every symbol of a price table.

    A session is a day on which at least half as many symbols trade as on the days around it. A return is
    known where the symbol traded on the session before, too.
    """
    count = prices.groupby("date").size()
    days = count.index[count >= count.rolling(63, center=True, min_periods=1).median() / 2]
    table = prices[prices["date"].isin(days)]
    parts = []
    for symbol, rows in table.groupby("symbol", sort=True):
        ordered = rows.sort_values("date")
        place = days.get_indexer(ordered["date"])
        follows = np.append(False, np.diff(place) == 1)
        values = np.full(len(days), np.nan)
        values[place] = np.where(follows, np.expm1(total_returns(ordered)), np.nan)
        parts.append((str(symbol), values))
    grid = np.column_stack([values for _, values in parts]) if parts else np.zeros((len(days), 0))
    return Returns(days.to_numpy().astype("datetime64[D]"), tuple(symbol for symbol, _ in parts), grid)


def study_periods(returns: Returns, protocol: Ranking, periods: int) -> Iterator[StudyPeriod]:
    """The newest study periods, oldest first; what they trade does not overlap.

    Raises:
        DataError: too few sessions or symbols.
    """
    needed = protocol.training + protocol.trading * periods + 1
    if len(returns.day) < needed:
        raise DataError(
            f"fischer-krauss: {len(returns.day)} sessions, but {periods} study period(s) need {needed}. "
            "Give a longer history, or ask for fewer with --set reproduce.periods."
        )
    for number in reversed(range(periods)):
        stop = len(returns.day) - protocol.trading * number
        yield study_period(returns, protocol, stop - protocol.training - protocol.trading, stop)


def study_period(returns: Returns, protocol: Ranking, start: int, stop: int) -> StudyPeriod:
    """The study period of sessions `start` to `stop`, the latter excluded.

    Its symbols are those with a return on the last training session: later ones are not known then.

    Raises:
        DataError: fewer symbols than two can be picked from.
    """
    listed = np.isfinite(returns.values[start + protocol.training - 1])
    values = returns.values[start:stop, listed]
    learnt = values[: protocol.training]
    if listed.sum() < 2 * protocol.picks:
        raise DataError(
            f"fischer-krauss: {listed.sum()} symbols with a return on {returns.day[start + protocol.training - 1]}, "
            f"but {protocol.picks} long and {protocol.picks} short need at least {2 * protocol.picks}. Give more."
        )
    panel = np.nan_to_num((values - np.nanmean(learnt)) / np.nanstd(learnt)).astype("float32")
    every = _sequences(values, returns.day[start:stop], protocol.lookback)
    first_checked, first_traded = (
        returns.day[start + protocol.training - back] for back in (_checked_days(protocol), 0)
    )
    return StudyPeriod(
        panel=panel.T.reshape(-1, 1),
        symbols=tuple(np.asarray(returns.symbols)[listed]),
        training=every.take(every.day < first_checked),
        validation=every.take((every.day >= first_checked) & (every.day < first_traded)),
        trading=every.take(every.day >= first_traded),
    )


def portfolio(trading: Sequences, score: np.ndarray, picks: int) -> pd.DataFrame:
    """What ranking by `score` earns: long the `picks` highest of each day, short the `picks` lowest.

    Args:
        score: (n,) of the sequences traded.

    Returns:
        By day: `earned`, the mean return of the long leg less that of the short one, before costs; `right`,
        the share of picks on their side of the median.

    Raises:
        DataError: a day has fewer than two times `picks` stocks.
    """
    table = pd.DataFrame({"day": trading.day, "score": score, "returns": trading.returns, "above": trading.above})
    table = table.sort_values(["day", "score"], kind="stable")
    by_day = table.groupby("day", sort=False)
    size = by_day["score"].size()
    if size.min() < 2 * picks:
        raise DataError(
            f"fischer-krauss: {size.min()} stocks with whole sequences on {size.idxmin().date()}, but at least "
            f"{2 * picks} are needed. Give more symbols."
        )
    low, high = by_day.head(picks).groupby("day"), by_day.tail(picks).groupby("day")
    earned = high["returns"].mean() - low["returns"].mean()
    right = (high["above"].mean() + 1 - low["above"].mean()) / 2
    return pd.DataFrame({"earned": earned, "right": right})


def _checked_days(protocol: Ranking) -> int:
    """Validation days at the end of the training sessions, of those that sequences forecast."""
    return round(protocol.validation * (protocol.training - protocol.lookback))


def _sequences(values: np.ndarray, day: np.ndarray, lookback: int) -> Sequences:
    """Every sequence whose returns are all known, and the one after it.

    Args:
        values: (sessions, symbols) returns of the period.
    """
    known = np.isfinite(values)
    running = np.concatenate([np.zeros((1, values.shape[1]), int), np.cumsum(known, axis=0)])
    whole = running[lookback:-1] - running[: -lookback - 1] == lookback
    symbol, last = np.nonzero((whole & known[lookback:]).T)
    last += lookback - 1
    above = values > np.nanmedian(np.where(known.any(axis=1)[:, None], values, 0.0), axis=1, keepdims=True)
    return Sequences(
        ends=(symbol * len(values) + last).astype("int32"),
        above=above[last + 1, symbol].astype("int32"),
        day=day[last + 1],
        returns=values[last + 1, symbol],
        symbol=symbol,
    )
