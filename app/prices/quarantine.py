"""Whether rows that a source tells can be believed, beside what is known.

Rows are judged one after the other against the newest row before them that is believed, in the shares
of that row's day. So a split that is told is no jump, a doubted row does not spoil the next, and a
correction that makes known rows continuous again is believed at once. Doubted is

* a new row that moves by a hundred, by the ratio of a usual split on a calm day, or by more than a
  factor 4, without a split being told; and a split that is told without such a move, or twice;
* known rows told at other prices: one by 28 % or more, or three in a row by 0.1 % or more, unless a
  split told with them explains it. That is how a history looks that was rescaled as a whole;
* new rows behind known ones so rescaled, since they come in the same unit.

Doubt is no verdict: the rows are kept apart until a later fetch tells the same again.
"""

from dataclasses import dataclass

import numpy as np

from app.prices.jumps import LEAST_VOLATILITY, NEIGHBOURS, STEP, TIMES_VOLATILITY, is_hundred, kind_of
from app.schema import PRICE_FIELDS

SAME = 1e-3
"""Log moves of known closes below this are corrections, however many."""

RUN = 3
"""Known rows in a row told at another price that make a block."""

AGREES = 0.01
"""Closes so near, as a share, tell the same."""

APART = 0.85
"""The share of a move that lies outside the bar on a day without turmoil."""

OPEN, HIGH, LOW, CLOSE, VOLUME, DIVIDEND, SPLIT = range(len(PRICE_FIELDS))
IN_ANOTHER_UNIT = frozenset({"rescaled", "replaced"})


@dataclass(frozen=True, eq=False)
class Rows:
    """(n,) dates in order and (n, fields) values of one symbol, as traded; a day with only an action has no close."""

    dates: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.dates)


@dataclass(frozen=True)
class Doubt:
    """Why a row is not believed yet: the name of a rule, and a sentence with its numbers."""

    rule: str
    reason: str


def judge(known: Rows, told: Rows, again: np.ndarray) -> dict[int, Doubt]:
    """The doubts about the rows told, by position; those told again count as believed for the rows after them.

    Args:
        known: rows of the ledger: those of the days told, and some months before, for the volatility.
        told: the rows of one answer.
        again: (told,) whether an earlier fetch, long enough ago, told the same of this row.
    """
    return _Walk(known, told, again).doubts() if len(known) else {}


def is_agreed(held: np.ndarray, told: np.ndarray) -> bool:
    """Whether a row that was held, (fields,), and one told now tell the same close and the same split."""
    near = abs(told[CLOSE] - held[CLOSE]) <= AGREES * abs(held[CLOSE])
    return bool(near and np.isclose(told[SPLIT], held[SPLIT], rtol=1e-6))


class _Walk:
    """Goes through the rows told, and remembers the newest close that is believed and the actions since."""

    def __init__(self, known: Rows, told: Rows, again: np.ndarray):
        self.known, self.told, self.again = known, told, again
        self.place = {day: row for row, day in enumerate(known.dates.tolist()) if known.values[row, CLOSE] > 0}
        self.volatility = _volatility(known)
        self.change = _change(known, told)
        self.block = _blocks(self.change)
        self.close, self.split, self.dividend = np.nan, 1.0, 0.0
        self.explained = np.nan
        self.unit: Doubt | None = None

    def doubts(self) -> dict[int, Doubt]:
        found: dict[int, Doubt] = {}
        for row, day in enumerate(self.told.dates):
            self._pass_known(row)
            doubt = self._doubt(row)
            if doubt:
                found[row] = doubt
            self._step(row, self.place.get(day.item()), doubt is None or bool(self.again[row]))
        return found

    def _pass_known(self, row: int) -> None:
        """Known rows that lie before this row and are not told are believed."""
        before = np.searchsorted(self.known.dates, self.told.dates[row]) - 1
        since = self.told.dates[row - 1] if row else np.datetime64("0001-01-01")
        if before >= 0 and self.known.dates[before] > since and self.known.values[before, CLOSE] > 0:
            self._believe(self.known.values[before, CLOSE])

    def _step(self, row: int, known: int | None, believed: bool) -> None:
        values = self.told.values[row]
        if believed and values[CLOSE] > 0:
            self._believe(values[CLOSE])
        elif known is not None:
            self._believe(self.known.values[known, CLOSE])
        else:
            self.split, self.dividend = self.split * values[SPLIT], self.dividend / values[SPLIT] + values[DIVIDEND]

    def _believe(self, close: float) -> None:
        self.close, self.split, self.dividend = close, 1.0, 0.0

    def _doubt(self, row: int) -> Doubt | None:
        values = self.told.values[row]
        if np.isnan(values[CLOSE]):
            return None
        if not 0 < values[CLOSE] < np.inf:
            return Doubt("impossible", f"a close of {values[CLOSE]:g}")
        known = self.place.get(self.told.dates[row].item())
        doubt = self._doubt_new(values) if known is None else self._doubt_known(row, self.known.values[known])
        if known is not None:
            kept = doubt and doubt.rule in IN_ANOTHER_UNIT and not self.again[row]
            self.unit = doubt if kept else None
        elif doubt is None:
            self.unit = None
        return doubt

    def _doubt_new(self, values: np.ndarray) -> Doubt | None:
        kind, move = self._kind(values)
        joins = self.split * values[SPLIT] != 1 and abs(move) <= 0.05 + 4 * self.volatility
        if self.unit and not joins:
            return Doubt(self.unit.rule, f"told together with known sessions in another unit: {self.unit.reason}")
        return Doubt(kind, self._words(kind, values, move)) if kind else None

    def _doubt_known(self, row: int, known: np.ndarray) -> Doubt | None:
        values, change = self.told.values[row], self.change[row]
        resplit = not np.isclose(values[SPLIT], known[SPLIT], rtol=1e-6)
        was, self.explained = self.explained, np.nan
        if abs(change) <= SAME and not resplit:
            return None
        (kind, move), (known_kind, _) = self._kind(values), self._kind(known)
        if abs(change) < (SAME if self.block[row] else STEP):
            return Doubt(kind, self._words(kind, values, move)) if kind and not known_kind else None
        if not kind and (resplit or known_kind or abs(change - was) <= SAME):
            self.explained = change
            return None
        return self._in_another_unit(row, known[CLOSE])

    def _in_another_unit(self, row: int, known: float) -> Doubt:
        change, block = self.change[row], self.block == self.block[row]
        close, times = self.told.values[row, CLOSE], np.exp(change)
        if not self.block[row]:
            return Doubt(
                "rescaled", f"close {close:.6g} is {times:.4g} times the {known:.6g} known, and no split is told"
            )
        if np.ptp(self.change[block]) <= SAME:
            return Doubt(
                "rescaled", f"{block.sum()} known sessions are told at {times:.4g} times their prices without a split"
            )
        return Doubt("replaced", f"{block.sum()} known sessions are told at other prices, {known:.6g} as {close:.6g}")

    def _kind(self, values: np.ndarray) -> tuple[str, float]:
        """What the move into a row looks like, and its log; "" for one that the market may have made."""
        split = self.split * values[SPLIT]
        base, paid = self.close / split, self.dividend / values[SPLIT] + values[DIVIDEND]
        if not base > 0:
            return "", np.nan
        move = np.log(values[CLOSE] / base)
        after = np.log(values[CLOSE] / max(base - paid, 1e-300))
        move = after if abs(after) < abs(move) else move
        if abs(move) < STEP or abs(move) <= TIMES_VOLATILITY * self.volatility:
            return "", move
        listed = np.log([split]) if abs(np.log(split)) >= STEP else np.array([])
        kind = kind_of(move, self.volatility, calm=_is_calm(values, move), listed=listed)
        return ("unit_switched" if kind != "split_misplaced" and is_hundred(move) else kind), move

    def _words(self, kind: str, values: np.ndarray, move: float) -> str:
        split = self.split * values[SPLIT]
        told = f"with a split of {split:g}" if split != 1 else "and no split"
        return f"close {values[CLOSE]:.6g} {told} after {self.close:.6g}: a move by a factor {np.exp(move):.4g}"


def _is_calm(values: np.ndarray, move: float) -> bool:
    """Whether a day's whole bar lies beyond most of the move, and its range is a small part of it.

    A crash leaves its way down, or turmoil, in the bar; a change of unit leaves neither. Unknown
    prices do not speak against calm: a row that is held wrongly comes with the next fetch.
    """
    bar = [np.log(values[CLOSE] / values[name]) for name in (HIGH, LOW) if values[name] > 0]
    reach = max((abs(one) for one in bar), default=0.0)
    return reach <= (1 - APART) * abs(move)


def _volatility(known: Rows) -> float:
    """Robust volatility per session of the newest known rows: 1.4826 times the median |move|."""
    values = known.values[known.values[:, CLOSE] > 0][-2 * NEIGHBOURS :]
    if len(values) < 2:
        return LEAST_VOLATILITY
    base = values[:-1, CLOSE] / values[1:, SPLIT]
    return max(1.4826 * float(np.median(np.abs(np.log(values[1:, CLOSE] / base)))), LEAST_VOLATILITY)


def _change(known: Rows, told: Rows) -> np.ndarray:
    """(told,) log of the close told over the close known; NaN where either is missing."""
    change = np.full(len(told), np.nan)
    _, here, there = np.intersect1d(told.dates, known.dates, return_indices=True)
    closes, were = told.values[here, CLOSE], known.values[there, CLOSE]
    with np.errstate(divide="ignore", invalid="ignore"):
        change[here] = np.where((closes > 0) & (were > 0), np.log(closes / were), np.nan)
    return change


def _blocks(change: np.ndarray) -> np.ndarray:
    """(told,) the number of the block of known rows, told at other prices, that a row is in; 0 for none."""
    compared = np.flatnonzero(~np.isnan(change))
    moved = np.abs(change[compared]) > SAME
    number = np.cumsum(moved & ~np.append(False, moved[:-1])) * moved
    lengths = np.bincount(number, minlength=1)
    blocks = np.zeros(len(change), int)
    blocks[compared] = np.where(lengths[number] >= RUN, number, 0)
    return blocks
