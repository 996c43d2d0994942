"""What the volatility to come is read from: numbers for a straight line (`forecasters.harx`), not for a network.

A line has a slope for each of them and no more, so that it may be told what lets a network memorise days: what
the whole market does, and what the same days of earlier quarters brought. All are logs of ratios or counted in
units of the symbol's own volatility.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from app.dataset.features import FEATURES, FLOOR, LARGEST, relative_volume
from app.dataset.targets import PARKINSON

SPANS = {"day": (1, 1), "week": (5, 5), "month": (22, 22), "quarter": (66, 40), "year": (250, 60)}
"""Sessions that the log range is averaged over, and the fewest that count: Corsi's three, and two longer."""

OWN = (*SPANS, "down", "up", "down_week", "down_month", "volume", "volume_week", "days_to_next")
ANNIVERSARIES = {"last_quarters_day": (0, 0), "near": (3, 3), "next_week": (0, 4), "next_month": (0, 19)}
"""Sessions before and after the one of an earlier quarter in which the largest event is looked for."""

QUARTERS = (91, 182, 273, 364)
"""Calendar days, in whole weeks: companies report on the same weekday of the same week of a quarter."""

MARKET = ("market_day", "market_week", "market_month")
FEWEST = 10
"""Symbols of an exchange that make a market; with fewer nothing is known of it, which reads as usual."""

OUTLOOK = (*OWN, *ANNIVERSARIES, *MARKET)
"""Every column of the outlook, in order."""

TOLD = (*(feature.name for feature in FEATURES), *OUTLOOK)
"""All that models are told, by name: what a saved one was fitted on has to be what it is given."""


def outlook_matrix(known: pd.DataFrame, days: np.ndarray) -> np.ndarray:
    """All but the market, of one symbol.

    Args:
        known: (rows,) from `features.basis`.
        days: (rows,) datetime64[D], rising.

    Returns:
        (rows, columns of `OWN` and `ANNIVERSARIES`): means of the log range volatility (Parkinson 1980) less the
        log of the volatility known; returns over volatility, by sign; volumes; and the size of what happened
        around the same day of the last four quarters. NaN where not known. Each row depends on no later row.
    """
    log_range = pd.Series(np.log(np.maximum(known["true_range"].to_numpy() / np.sqrt(PARKINSON), FLOOR)))
    level = np.log(known["volatility"].to_numpy())
    means = {name: log_range.rolling(span, min_periods=fewest).mean() for name, (span, fewest) in SPANS.items()}
    moved = pd.Series(np.nan_to_num(known["returns"].to_numpy() / known["volatility"].to_numpy()))
    down, volume = moved.clip(upper=0), pd.Series(relative_volume(known))
    week = volume.rolling(5).mean()
    own = [mean - level for mean in means.values()]
    own += [down, moved.clip(lower=0), down.rolling(5).mean(), down.rolling(22).mean()]
    own += [volume, week, np.log(known["days_to_next"])]
    events = _events(log_range - means["month"].shift(1), volume - week.shift(1))
    ahead = days + np.maximum(known["days_to_next"].to_numpy(), 1).astype("timedelta64[D]")
    again = _anniversaries(events, days, ahead)
    return np.clip(np.column_stack([*own, *again]), -LARGEST, LARGEST)


def market_columns(parts: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    """What the symbols of an exchange do on a day, against what is usual for each of them in a year.

    Args:
        parts: for each symbol the name of its calendar, its (rows,) days, its outlook without a market.

    Returns:
        For each symbol (rows, columns of `MARKET`): the mean over the symbols of its calendar that traded on that
        day; 0, meaning usual, where they are fewer than `FEWEST`. Other exchanges close at other hours, and
        their day may not be known yet.
    """
    names = list(OWN)
    year, spans = names.index("year"), [names.index(name) for name in ("day", "week", "month")]
    table = pd.concat(
        [
            pd.DataFrame(own[:, spans] - own[:, [year]], columns=list(MARKET)).assign(calendar=calendar, day=days)
            for calendar, days, own in parts
        ],
        ignore_index=True,
    )
    grouped = table.groupby(["calendar", "day"], sort=False)
    mean, count = grouped[list(MARKET)].transform("mean"), grouped[list(MARKET)].transform("count")
    market = np.nan_to_num(mean.where(count >= FEWEST).to_numpy())
    return np.split(market, np.cumsum([len(days) for _, days, _ in parts])[:-1])


def _events(wider: pd.Series, busier: pd.Series) -> np.ndarray:
    """(rows,) how far a session stood out: log range and half of log volume above what was usual before it."""
    wider, busier = (np.nan_to_num(part.to_numpy()) for part in (wider, busier))
    return np.clip(wider, 0, 3) + 0.5 * np.clip(busier, 0, LARGEST)


def _anniversaries(events: np.ndarray, days: np.ndarray, ahead: np.ndarray) -> list[np.ndarray]:
    """For each of `ANNIVERSARIES` (rows,): mean over `QUARTERS` of its largest event; 0 where history is too short.

    ahead: (rows,) the session to come. Only events before the row itself count.
    """
    first = min(-before for before, _ in ANNIVERSARIES.values())
    steps = np.arange(first, max(after for _, after in ANNIVERSARIES.values()) + 1)
    totals = [np.zeros(len(days)) for _ in ANNIVERSARIES]
    for quarter in QUARTERS:
        then = ahead - np.timedelta64(quarter, "D")
        rows = np.searchsorted(days, then)[:, None] + steps
        past = (rows >= 0) & (rows < np.arange(len(days))[:, None]) & (then >= days[0])[:, None]
        seen = np.where(past, events[np.clip(rows, 0, len(days) - 1)], 0.0)
        for total, (before, after) in zip(totals, ANNIVERSARIES.values(), strict=True):
            total += seen[:, -before - first : after + 1 - first].max(axis=1)
    return [total / len(QUARTERS) for total in totals]
