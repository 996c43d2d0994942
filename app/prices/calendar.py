"""Which days are sessions: exchange_calendars behind a few questions."""

import functools

import exchange_calendars
import numpy as np
import pandas as pd

from app.errors import SettingsError

DEFAULT = "XNYS"
EXCHANGES = {
    "L": "XLON", "IL": "XLON", "PA": "XPAR", "AS": "XAMS", "BR": "XBRU", "LS": "XLIS", "MC": "XMAD",
    "MI": "XMIL", "DE": "XETR", "F": "XFRA", "SW": "XSWX", "VI": "XWBO", "ST": "XSTO", "CO": "XCSE",
    "HE": "XHEL", "OL": "XOSL", "IR": "XDUB", "WA": "XWAR", "IS": "XIST", "TO": "XTSE", "V": "XTSE",
    "SA": "BVMF", "MX": "XMEX", "T": "XTKS", "HK": "XHKG", "SS": "XSHG", "SZ": "XSHG", "KS": "XKRX",
    "TW": "XTAI", "SI": "XSES", "AX": "XASX", "NZ": "XNZE", "NS": "XBOM", "BO": "XBOM", "JO": "XJSE",
    "TA": "XTAE", "X": "24/5",
}  # fmt: skip
"""Yahoo's suffix of a symbol → the calendar of its exchange (ISO 10383 market code)."""

KNOWN_SHARE = 0.99
"""A calendar fits a symbol when at least this share of its dates are sessions."""


def calendar_for(symbol: str, dates: np.ndarray | None = None, name: str | None = None) -> str:
    """The name of the calendar a symbol trades by.

    Args:
        symbol: in Yahoo's spelling; the suffix tells the exchange, none means New York.
        dates: (n,) the dates the symbol has prices for, if known. When the calendar guessed from
            the symbol does not fit them, every weekday (or every day) counts as a session.
        name: the calendar the user asked for, which always wins.
    """
    if name:
        return name
    suffix = symbol.replace("=", ".").rsplit(".", 1)[-1] if "." in symbol or "=" in symbol else ""
    guess = "24/7" if symbol.endswith("-USD") else EXCHANGES.get(suffix, DEFAULT)
    if dates is None or len(dates) == 0:
        return guess
    days = np.asarray(dates, "datetime64[D]")
    if np.isin(days, sessions(guess, days.min(), days.max())).mean() >= KNOWN_SHARE:
        return guess
    return "24/5" if np.is_busday(days).mean() >= KNOWN_SHARE else "24/7"


def sessions(calendar: str, start: np.datetime64, stop: np.datetime64) -> np.ndarray:
    """(n,) datetime64[D]: the sessions from `start` to `stop`, both included.

    Raises:
        SettingsError: there is no such calendar.
    """
    first, last = pd.Timestamp(start), pd.Timestamp(stop)
    days = _all_sessions(calendar, first.year, max(last.year, first.year) + 1)
    return days[np.searchsorted(days, np.datetime64(first, "D")) : np.searchsorted(days, np.datetime64(last, "D"), "right")]


def sessions_after(calendar: str, day: np.datetime64, count: int) -> np.ndarray:
    """(count,) datetime64[D]: the next `count` sessions after `day`."""
    day = np.datetime64(day, "D")
    return sessions(calendar, day + 1, day + 1 + np.timedelta64(count * 2 + 20, "D"))[:count]


def last_closed_session(calendar: str, now: pd.Timestamp) -> np.datetime64:
    """The newest session that had closed, with an hour to settle, at the instant `now` (with a time zone)."""
    moment = pd.Timestamp(now).tz_convert("UTC") - pd.Timedelta(hours=1)
    exchange = _exchange(calendar, moment.year - 1, moment.year + 1)
    closes = exchange.closes
    return np.datetime64(closes.index[closes <= moment][-1], "D")


@functools.lru_cache(maxsize=64)
def _all_sessions(calendar: str, first_year: int, last_year: int) -> np.ndarray:
    days = _exchange(calendar, first_year, last_year).sessions.to_numpy().astype("datetime64[D]")
    days.setflags(write=False)
    return days


@functools.lru_cache(maxsize=64)
def _exchange(calendar: str, first_year: int, last_year: int):
    try:
        return exchange_calendars.get_calendar(calendar, start=f"{first_year}-01-01", end=f"{last_year}-12-31")
    except exchange_calendars.errors.InvalidCalendarName:
        known = sorted(set(EXCHANGES.values()) | {DEFAULT, "24/7"})
        raise SettingsError(f"prices.calendar must be an exchange's calendar such as {known}, got {calendar!r}.") from None
