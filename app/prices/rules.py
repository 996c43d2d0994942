"""Rules on rows, dates and volumes: what can be said of a price without comparing it with other prices."""

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from app.prices.calendar import KNOWN_SHARE, calendar_for, sessions
from app.schema import PRICE_FIELDS

Made = TypeVar("Made")

LONG_RUN = 10
"""Sessions without volume in a row that are worth a warning."""

SLIGHT, GROSS = 0.002, 0.10
"""Breaks of low <= open, close <= high, as a share of the price: rounding below, an error above."""


@dataclass(frozen=True)
class Bars:
    """The rows that rules look at: sorted by symbol and date, with what is needed to judge them.

    `place` is each row's position in the table as delivered, `code` the number of its symbol in `symbols`.
    """

    table: pd.DataFrame
    place: np.ndarray
    code: np.ndarray
    symbols: np.ndarray
    calendar: str | None
    today: np.datetime64
    _made: dict[Callable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @functools.cached_property
    def first(self) -> np.ndarray:
        """(rows,) whether the row is the first of its symbol."""
        return np.diff(self.code, prepend=-1) != 0

    def column(self, name: str) -> np.ndarray:
        """(rows,) the values of a field."""
        return self._columns[name]

    @functools.cached_property
    def _columns(self) -> dict[str, np.ndarray]:
        return {name: self.table[name].to_numpy() for name in self.table.columns if name != "symbol"}

    def once(self, make: Callable[["Bars"], Made]) -> Made:
        """What a function makes of these rows, made once for all rules that ask."""
        if make not in self._made:
            self._made[make] = make(self)
        return self._made[make]

    def before(self, values: np.ndarray) -> np.ndarray:
        """(rows,) the value of the row before, NaN in the first row of a symbol."""
        moved = np.roll(np.asarray(values, float), 1)
        moved[self.first] = np.nan
        return moved

    def blocks(self) -> Iterator[tuple[str, slice]]:
        """Each symbol and where its rows are."""
        edges = np.append(np.flatnonzero(self.first), len(self.table))
        for start, stop in itertools.pairwise(edges):
            yield str(self.symbols[self.code[start]]), slice(start, stop)


@dataclass(frozen=True)
class Finding:
    """What a rule found: positions of rows, and words with one value per row for each pair of braces.

    `dates` stands in for the rows' own dates where the fault lies on another day.
    """

    rows: np.ndarray
    words: str
    values: tuple[np.ndarray, ...] = ()
    dates: np.ndarray | None = None


@dataclass(frozen=True)
class Rule:
    """A named way in which a price table can be wrong.

    `severity` is "error" (the row is left out) or "warning"; `unknown_return` says that the return
    into the row is declared unknown, though the row stays.
    """

    name: str
    severity: str
    meaning: str
    find: Callable[[Bars], Finding]
    unknown_return: bool = False


def _where(bars: Bars, mask: np.ndarray, words: str, *names: str) -> Finding:
    rows = np.flatnonzero(mask)
    return Finding(rows, words, tuple(bars.column(name)[rows] for name in names))


def _wrong_frequency(bars: Bars) -> Finding:
    rows, spacings, counts = [], [], []
    days = bars.column("date").astype("datetime64[D]")
    for _, block in bars.blocks():
        dates, copies = np.unique(days[block], return_counts=True)
        spacing = np.median(np.diff(dates).astype(int)) if len(dates) > 3 else 1
        if copies.mean() >= 3 or spacing >= 5:
            rows.append(np.arange(block.start, block.stop))
            spacings.append(np.full(block.stop - block.start, spacing))
            counts.append(np.full(block.stop - block.start, copies.mean()))
    if not rows:
        return Finding(np.array([], int), "")
    words = "not daily: {:.0f} row(s) a date, dates typically {:.0f} day(s) apart"
    return Finding(np.concatenate(rows), words, (np.concatenate(counts), np.concatenate(spacings)))


def _disordered(bars: Bars) -> Finding:
    late = np.flatnonzero(bars.place < bars.before(bars.place))
    _, first, counts = np.unique(bars.code[late], return_index=True, return_counts=True)
    return Finding(late[first], "{} row(s) stand after a later session in the file; they were sorted", (counts,))


def _copies(bars: Bars) -> tuple[np.ndarray, np.ndarray]:
    """(rows,) which rows share a key with another; which of these keys have copies that differ."""
    days = bars.column("date")
    again = np.append((days[1:] == days[:-1]) & ~bars.first[1:], False) if len(days) else np.array([], bool)
    again = np.roll(again, 1)
    key = np.cumsum(~again) - 1
    differs = np.zeros(len(days), bool)
    for name in PRICE_FIELDS:
        values = bars.column(name)
        before = np.roll(values, 1)
        differs |= again & ~((values == before) | (np.isnan(values) & np.isnan(before)))
    conflicting = np.bincount(key, weights=differs, minlength=len(days)) > 0
    shared = np.bincount(key, minlength=len(days)) > 1
    return shared[key] & again, shared[key] & conflicting[key]


def _duplicated(bars: Bars) -> Finding:
    again, conflicting = bars.once(_copies)
    return _where(bars, again & ~conflicting, "the row stands twice; one copy is kept")


def _contradicting(bars: Bars) -> Finding:
    return _where(bars, bars.once(_copies)[1], "the rows of this session differ; one closes at {:.6g}", "close")


def _non_finite(bars: Bars) -> Finding:
    return _where(bars, ~np.isfinite(bars.column("close")), "close is {}", "close")


def _non_positive(bars: Bars) -> Finding:
    return _where(bars, bars.column("close") <= 0, "close is {}", "close")


def _impossible_action(bars: Bars) -> Finding:
    dividend, split = bars.column("dividend"), bars.column("split")
    wrong = np.isinf(dividend) | ~(split > 0) | np.isinf(split)
    return _where(bars, wrong, "dividend is {:.6g}, split is {:.6g}", "dividend", "split")


def _doubtful_prices(bars: Bars) -> Finding:
    names = ("open", "high", "low")
    wrong = [(bars.column(name) <= 0) | np.isinf(bars.column(name)) for name in names]
    return _where(bars, np.any(wrong, axis=0), "open {:.6g}, high {:.6g}, low {:.6g}; unknown if not above 0", *names)


def _doubtful_volume(bars: Bars) -> Finding:
    volume = bars.column("volume")
    return _where(bars, (volume < 0) | np.isinf(volume), "volume is {}, taken as unknown", "volume")


def outside(table: pd.DataFrame, name: str) -> np.ndarray:
    """(rows,) how far a price lies outside [low, high], as a share of it; 0 inside or where not known."""
    price, high, low = (table[column].to_numpy() for column in (name, "high", "low"))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        known = (price > 0) & (high > 0) & (low > 0) & np.isfinite(price) & np.isfinite(high) & np.isfinite(low)
        beyond = np.where(known, np.maximum(low / price - 1, price / high - 1), 0.0)
    return np.maximum(beyond, 0.0)


def _impossible_bar(bars: Bars) -> Finding:
    words = "close {:.6g} lies far outside low {:.6g} to high {:.6g}"
    return _where(bars, outside(bars.table, "close") > GROSS, words, "close", "low", "high")


def _inexact_bar(bars: Bars) -> Finding:
    close, opening = outside(bars.table, "close"), outside(bars.table, "open")
    inexact = (np.maximum(close, opening) > SLIGHT) & (close <= GROSS)
    words = "open {:.6g}, close {:.6g} against low {:.6g} to high {:.6g}"
    return _where(bars, inexact, words, "open", "close", "low", "high")


def _future(bars: Bars) -> Finding:
    return _where(bars, bars.column("date") > bars.today, "the session is after today")


def _not_a_session(bars: Bars) -> Finding:
    rows, names = [], []
    for _, block, calendar, fits, days in bars.once(_calendars):
        if fits:
            odd = np.flatnonzero(~np.isin(days, sessions(calendar, days.min(), days.max()))) + block.start
            rows.append(odd)
            names.append(np.repeat(calendar, len(odd)))
    if not rows:
        return Finding(np.array([], int), "")
    return Finding(np.concatenate(rows), "not a session of {}", (np.concatenate(names),))


def _wrong_calendar(bars: Bars) -> Finding:
    found = [(block.start, calendar) for _, block, calendar, fits, _ in bars.once(_calendars) if not fits]
    words = "under 99 % of its dates are sessions of {}; set prices.calendar to its exchange's"
    return Finding(np.array([row for row, _ in found], int), words, (np.array([name for _, name in found], object),))


def _missing_session(bars: Bars) -> Finding:
    rows, dates, counts = [], [], []
    for symbol, block, calendar, fits, days in bars.once(_calendars):
        line = sessions(calendar if fits else calendar_for(symbol, days), days.min(), days.max())
        absent = np.flatnonzero(~np.isin(line, days))
        starts = np.flatnonzero(np.diff(absent, prepend=-2) > 1)
        rows.append(np.full(len(starts), block.start))
        dates.append(line[absent[starts]])
        counts.append(np.diff(np.append(starts, len(absent))))
    if not rows:
        return Finding(np.array([], int), "")
    words = "{} session(s) missing from here"
    return Finding(np.concatenate(rows), words, (np.concatenate(counts),), np.concatenate(dates))


def _calendars(bars: Bars) -> list[tuple[str, slice, str, bool, np.ndarray]]:
    """For each symbol: its rows, its exchange's calendar, whether that fits, and its dates."""
    every, found = bars.column("date").astype("datetime64[D]"), []
    for symbol, block in bars.blocks():
        days = every[block]
        calendar = calendar_for(symbol, name=bars.calendar)
        odd = np.count_nonzero(~np.isin(days, sessions(calendar, days.min(), days.max())))
        fits = odd <= (1 - KNOWN_SHARE) * len(days) or (odd == 1 and len(days) >= LONG_RUN)
        found.append((symbol, block, calendar, bool(fits), days))
    return found


def _runs(bars: Bars, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First rows and lengths of the runs of marked rows within a symbol that are at least LONG_RUN long."""
    starts = np.flatnonzero(mask & (bars.first | ~np.roll(mask, 1)))
    stops = np.flatnonzero(mask & (np.roll(bars.first, -1) | ~np.roll(mask, -1))) + 1
    long = stops - starts >= LONG_RUN
    return starts[long], (stops - starts)[long]


def _stale(bars: Bars) -> Finding:
    close = bars.column("close")
    starts, lengths = _runs(bars, (bars.column("volume") == 0) & (close == bars.before(close)))
    return Finding(starts, "close stays at {:.6g} without volume for {} sessions", (close[starts], lengths))


def _zero_volume(bars: Bars) -> Finding:
    volume, close = bars.column("volume"), bars.column("close")
    starts, lengths = _runs(bars, volume == 0)
    moved = np.cumsum(close != bars.before(close))
    wanted = (bars.before(volume)[starts] > 0) & (moved[starts + lengths - 1] > moved[starts])
    return Finding(starts[wanted], "no volume for {} sessions, though the close moves", (lengths[wanted],))


FREQUENCY = (Rule("frequency", "error", "the rows are intraday, weekly or monthly, not sessions", _wrong_frequency),)

ROWS = (
    Rule("disordered", "warning", "the file is not in time order", _disordered),
    Rule("duplicated", "warning", "a row stands twice", _duplicated),
    Rule("duplicated", "error", "a session has rows that contradict each other", _contradicting),
    Rule("non_finite", "error", "the close is not a finite number", _non_finite),
    Rule("non_positive", "error", "the close is not above 0", _non_positive),
    Rule("non_positive", "warning", "open, high or low is not above 0 (taken as unknown)", _doubtful_prices),
    Rule("impossible_action", "error", "an infinite dividend, or a split not above 0", _impossible_action),
    Rule("impossible_volume", "warning", "volume below 0 or infinite (taken as unknown)", _doubtful_volume),
    Rule("ohlc_order", "error", "the close lies more than 10 % outside low to high", _impossible_bar),
    Rule("ohlc_order", "warning", "open or close lies more than 0.2 % outside low to high", _inexact_bar),
    Rule("future_date", "error", "the session is after today", _future),
    Rule("not_a_session", "error", "the exchange was closed on that date", _not_a_session),
    Rule("wrong_calendar", "warning", "the exchange's calendar does not fit the dates", _wrong_calendar),
    Rule("missing_session", "warning", "the exchange traded, but there is no row", _missing_session),
)

VOLUMES = (
    Rule("stale", "warning", "the close stands still without volume for 10 sessions or more", _stale),
    Rule("zero_volume", "warning", "volume vanishes for 10 sessions or more though the close moves", _zero_volume),
)
