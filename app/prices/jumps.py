"""Rules on moves: spikes, switches of unit, splits nobody listed.

Every verdict is local. A spike is judged by the session after it; the volatility it is measured
against is that of the 30 sessions on either side; a switch of unit is judged by the `LONGEST_BLOCK`
sessions after it, because only its return shows that the rows between were in another unit. Nothing
further away can change a verdict.

What tells a fault from a crash: after a crash prices are in turmoil and stay low; a price in another
unit jumps between two calm days, the whole bar with it, and jumps back by the same factor.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from app.prices.rules import Bars, Finding, Rule

NEIGHBOURS = 30
"""Sessions on either side that tell a symbol's volatility at a row."""

LEAST_VOLATILITY = 0.01
"""A symbol that hardly trades is given this volatility a session."""

TIMES_VOLATILITY = 8.0
SPIKE, WILD_SPIKE = 0.15, 1.0
"""Log moves, there and back: the least that a spike has, and the least when the bar does not stand apart."""

STEP = 0.25
"""Least log move, in one session, that can be a change of unit or part of one."""

LONGEST_BLOCK = 260
"""Sessions within which another unit must be left again; after that it counts as the new one."""

SETTLED = 30
"""Rows that make a unit the established one; a shorter beginning in another unit is itself the fault."""

HUGE = np.log(4.0)
SPLIT_RATIOS = np.log([1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 40, 50])
SPLIT_NEARBY = 60
"""Rows within which a listed split may have been applied on the wrong day."""

CHUNK = 20_000


@dataclass(frozen=True)
class Moves:
    """(rows,) log moves into each row, with what is needed to judge them.

    `base` is the close before in today's shares; `size` the log move from it, or from it less the
    dividend where that is smaller; `apart` the share of the move that lies between the base and the
    nearest price of the bar, NaN where high or low are unknown.
    """

    size: np.ndarray
    base: np.ndarray
    apart: np.ndarray
    top: np.ndarray
    bottom: np.ndarray


def moves(bars: Bars) -> Moves:
    """The moves of every row; NaN in the first row of a symbol."""
    close, dividend = bars.column("close"), bars.column("dividend")
    base = bars.before(close) / bars.column("split")
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        plain, paid = np.log(close / base), np.log(close / np.fmax(base - dividend, 1e-300))
        size = np.where(np.abs(paid) < np.abs(plain), paid, plain)
        size = np.where(np.isnan(dividend), np.nan, size)
        top = np.log(np.where(bars.column("high") > 0, bars.column("high"), np.nan))
        bottom = np.log(np.where(bars.column("low") > 0, bars.column("low"), np.nan))
        start = np.log(close) - size
        apart = np.maximum(np.maximum(bottom - start, start - top), 0) / np.abs(size)
    return Moves(size, base, apart, top, bottom)


def volatility_at(bars: Bars, size: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(n,) robust volatility per session around each of `rows`, without the row and the one after.

    1.4826 times the median |move| of the 30 sessions on either side: the standard deviation if the
    moves are normal, whatever a minority of them does.
    """
    offsets = np.array([k for k in range(-NEIGHBOURS, NEIGHBOURS + 1) if k not in (0, 1)])
    found = np.full(len(rows), LEAST_VOLATILITY)
    for start in range(0, len(rows), CHUNK):
        some = rows[start : start + CHUNK]
        near = np.clip(some[:, None] + offsets, 0, max(len(size) - 1, 0))
        own = (bars.code[near] == bars.code[some][:, None]) & (near == some[:, None] + offsets)
        near_size = np.where(own, np.abs(size[near]), np.nan)
        usable = ~np.isnan(near_size).all(axis=1)
        found[start : start + CHUNK][usable] = 1.4826 * np.nanmedian(near_size[usable], axis=1)
    return np.maximum(found, LEAST_VOLATILITY)


def _spike_reverts(bars: Bars) -> Finding:
    move = bars.once(moves)
    onward = np.append(move.size[1:], np.nan)[: len(move.size)]
    least = np.minimum(np.abs(move.size), np.abs(onward))
    with np.errstate(invalid="ignore"):
        there_and_back = np.abs(move.size + onward) <= 0.25 * least
        rows = np.flatnonzero(there_and_back & (least >= SPIKE))
    close = np.log(bars.column("close")[rows])
    target = close + onward[rows]
    onward_apart = np.maximum(np.maximum(move.bottom[rows] - target, target - move.top[rows]), 0) / least[rows]
    apart = np.minimum(move.apart[rows], onward_apart)
    enough = np.where(np.isnan(apart), WILD_SPIKE / 2, np.where(apart >= 0.8, SPIKE, WILD_SPIKE))
    strange = (least[rows] >= enough) & (least[rows] > TIMES_VOLATILITY * volatility_at(bars, move.size, rows))
    rows = rows[strange]
    words = "close {:.6g} stands alone between {:.6g} before and a return by {:+.0%} after"
    return Finding(rows, words, (bars.column("close")[rows], move.base[rows], np.expm1(onward[rows])))


@dataclass(frozen=True)
class Steps:
    """(n,) moves that may be changes of unit: row, log size, volatility there, and whether the day was calm."""

    row: np.ndarray
    size: np.ndarray
    volatility: np.ndarray
    calm: np.ndarray


def _steps(bars: Bars) -> Steps:
    move = bars.once(moves)
    with np.errstate(invalid="ignore"):
        rows = np.flatnonzero(np.abs(move.size) >= STEP)
    size, volatility = move.size[rows], volatility_at(bars, move.size, rows)
    spread = (move.top - move.bottom)[rows]
    known = np.isfinite(spread)
    with np.errstate(invalid="ignore"):
        whole = np.where(known, (move.apart[rows] >= 0.85) & (spread <= 5 * volatility), np.abs(size) >= 1.0)
        calm = known & (move.apart[rows] >= 0.85) & (spread <= 2.5 * volatility)
    keep = (np.abs(size) > TIMES_VOLATILITY * volatility) & (whole | (np.abs(size) >= HUGE))
    return Steps(rows[keep], size[keep], volatility[keep], calm[keep])


def is_hundred(step: float) -> bool:
    """Whether a log move is by about a hundred, as between pence and pounds."""
    return bool(abs(abs(step) - np.log(100)) <= 0.3)


def _other_unit(bars: Bars) -> tuple[np.ndarray, np.ndarray]:
    """Rows in another unit than their neighbours, and by which factor."""
    steps = bars.once(_steps)
    edges = np.append(np.flatnonzero(bars.first), len(bars.table))
    rows, factors, i = [np.array([], int)], [np.array([], float)], 0
    while i < len(steps.row):
        start, stop = edges[np.searchsorted(edges, steps.row[i], "right") + np.array([-1, 0])]
        closing = _closing(steps, i, stop)
        found = np.arange(steps.row[i], steps.row[closing]) if closing else _unreturned(steps, i, start, stop)
        rows.append(found)
        factors.append(np.full(len(found), np.exp(steps.size[i])))
        i = closing + 1 if closing else i + 1
    return np.concatenate(rows), np.concatenate(factors)


def _closing(steps: Steps, i: int, stop: int) -> int | None:
    """The step that, with those before it, undoes step i, within LONGEST_BLOCK rows of the same symbol."""
    total = 0.0
    for k in range(i, len(steps.row)):
        if steps.row[k] >= stop or steps.row[k] - steps.row[i] > LONGEST_BLOCK:
            return None
        total += steps.size[k]
        if k > i and abs(total) <= 0.05 + 4 * steps.volatility[i : k + 1].max():
            return k
    return None


def _unreturned(steps: Steps, i: int, start: int, stop: int) -> np.ndarray:
    """Rows at fault when the price has moved a hundredfold and not come back: those of the unit not established."""
    row = steps.row[i]
    if not is_hundred(steps.size[i]):
        return np.array([], int)
    if row - start < min(SETTLED, stop - row):
        return np.arange(start, row)
    return np.arange(row, stop) if stop - row <= LONGEST_BLOCK else np.array([], int)


def _unit_switched(bars: Bars) -> Finding:
    rows, factors = _other_unit(bars)
    words = "close {:.6g} is in another unit than its neighbours, which change by a factor {:.4g} in one session"
    return Finding(rows, words, (bars.column("close")[rows], factors))


def _kinds(bars: Bars) -> tuple[Steps, np.ndarray]:
    """Steps that stay, and what each looks like: a listed split on the wrong day, a split, or just huge."""
    steps = bars.once(_steps)
    splits = np.log(bars.column("split"))
    kinds = np.full(len(steps.row), "", object)
    for i, row in enumerate(steps.row):
        near = slice(max(row - SPLIT_NEARBY, 0), row + SPLIT_NEARBY + 1)
        listed = splits[near][(bars.code[near] == bars.code[row]) & (np.abs(splits[near]) >= STEP)]
        kinds[i] = kind_of(steps.size[i], steps.volatility[i], calm=bool(steps.calm[i]), listed=listed)
    return steps, kinds


def kind_of(step: float, volatility: float, calm: bool, listed: np.ndarray) -> str:
    """What a step that stays looks like; "" for a move that may well be one of the market.

    Args:
        step: log move. volatility: per session. listed: (n,) log of the splits listed nearby.
    """
    size, tolerance = abs(step), 0.02 + 2 * volatility
    if (np.abs(size - np.abs(listed)) <= 2 * tolerance).any():
        return "split_misplaced"
    if calm and (np.abs(size - SPLIT_RATIOS) <= np.minimum(tolerance, 0.13 * SPLIT_RATIOS)).any():
        return "split_like"
    return "jump" if size >= HUGE else ""


def _kind(name: str, words: str) -> Callable[[Bars], Finding]:
    def find(bars: Bars) -> Finding:
        steps, kinds = bars.once(_kinds)
        mine = kinds == name
        return Finding(steps.row[mine], words, (np.exp(steps.size[mine]),))

    return find


SPIKES = (
    Rule("spike_reverts", "error", "a move beyond any volatility that is undone in the next session", _spike_reverts),
)

UNITS = (Rule("unit_switched", "error", "a multiple of the neighbouring rows, as pence are of pounds", _unit_switched),)

JUMPS = (
    Rule(
        "split_misplaced",
        "warning",
        "a move by the factor of a split listed for another day",
        _kind("split_misplaced", "prices change by a factor {:.4g}, as if the split listed nearby happened here"),
        unknown_return=True,
    ),
    Rule(
        "split_like",
        "warning",
        "a move by a split's factor on a calm day, without a listed split",
        _kind("split_like", "prices change by a factor {:.4g} without turmoil: a split that is not listed?"),
        unknown_return=True,
    ),
    Rule(
        "jump",
        "warning",
        "a move by a factor of 4 or more that stays, without a listed split",
        _kind("jump", "prices change by a factor {:.4g} in one session"),
        unknown_return=True,
    ),
)
