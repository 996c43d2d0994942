"""Rules on dividends: what the price on the ex-date, and the dividends before, say about them.

A dividend that was paid takes about its own size off the price, so a large one that the price knows
nothing of was not paid in that size. A dividend that is missing, or wrong by less than the price moves
anyway, cannot be seen.
"""

import numpy as np

from app.prices.jumps import moves, volatility_at
from app.prices.rules import Bars, Finding, Rule

LARGE = 0.05
"""Least share of the price that a dividend must miss by before it is doubted."""

TIMES_VOLATILITY = 3.5
NEARBY = 5
"""Sessions within which a second dividend of about the same size is doubted."""

TINY, TINY_RUN = 0.0005, 4
"""A share of the price that no regular dividend stays below this many times in a row while prices fall."""


def _dividends(bars: Bars) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows with a dividend; its share of the close before; the price's log move; the volatility there."""
    move = bars.once(moves)
    with np.errstate(invalid="ignore"):
        rows = np.flatnonzero((bars.column("dividend") > 0) & ~np.isnan(move.base))
    share = bars.column("dividend")[rows] / move.base[rows]
    return rows, share, np.log(bars.column("close")[rows] / move.base[rows]), volatility_at(bars, move.size, rows)


def _dividend_not_in_price(bars: Bars) -> Finding:
    rows, share, plain, volatility = bars.once(_dividends)
    missed = plain - np.log1p(-np.minimum(share, 0.999))
    wrong = (missed > np.maximum(LARGE, TIMES_VOLATILITY * volatility)) & (bars.column("volume")[rows] != 0)
    rows = rows[wrong]
    words = "a dividend of {:.6g} is {:.0%} of the close before, which moved by {:+.1%}"
    return Finding(rows, words, (bars.column("dividend")[rows], share[wrong], np.expm1(plain[wrong])))


def _dividend_repeated(bars: Bars) -> Finding:
    rows, share, _, _ = bars.once(_dividends)
    number = bars.code[rows]
    close_by = (np.diff(rows) <= NEARBY) & (np.diff(number) == 0) & (np.abs(np.diff(np.log(share))) <= 0.25)
    second = rows[1:][close_by]
    words = "a dividend of {:.6g} follows one of about the same size within 5 sessions"
    return Finding(second, words, (bars.column("dividend")[second],))


def _dividend_negative(bars: Bars) -> Finding:
    dividend = bars.column("dividend")
    with np.errstate(invalid="ignore"):
        rows = np.flatnonzero(dividend < -0.001 * bars.once(moves).base)
    return Finding(rows, "a dividend of {:.6g}: the adjusted price was adjusted upwards", (dividend[rows],))


def _dividend_tiny(bars: Bars) -> Finding:
    rows, share, plain, volatility = bars.once(_dividends)
    number = bars.code[rows]
    found, run, total, variance = [], 0, 0.0, 0.0
    for i in range(len(rows)):
        if share[i] >= TINY or (i and number[i] != number[i - 1]):
            run, total, variance = 0, 0.0, 0.0
        if share[i] < TINY:
            run, total, variance = run + 1, total + plain[i], variance + volatility[i] ** 2
        if run >= TINY_RUN and total < -2 * np.sqrt(variance):
            found.append(i)
    words = "a dividend of {:.6g}, {:.3%} of the close before, as the ones before it, though prices fall on such days"
    return Finding(rows[found], words, (bars.column("dividend")[rows[found]], share[found]))


DIVIDENDS = (
    Rule("dividend_not_in_price", "error", "a large dividend that the price did not fall by", _dividend_not_in_price),
    Rule("dividend_repeated", "warning", "two dividends of one size within days", _dividend_repeated, True),
    Rule("dividend_negative", "warning", "a dividend below -0.1 % of the close before", _dividend_negative, True),
    Rule("dividend_tiny", "warning", "dividends of nearly nothing on days when prices fall", _dividend_tiny),
)
