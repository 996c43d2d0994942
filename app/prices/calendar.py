"""Which days are sessions: exchange_calendars behind a few questions.

A day on which trading ends early is a session. In years for which a calendar has no holidays on
record (Shanghai's end with the current year) every Monday to Friday counts as a session, so that a
forecast has dates.
"""

import functools

import exchange_calendars
import numpy as np
import pandas as pd
from exchange_calendars.exchange_calendar_xtai import typhoons

from app.errors import SettingsError

DEFAULT = "XNYS"
EXCHANGES = {
    "L": "XLON", "IL": "XLON", "PA": "XPAR", "AS": "XAMS", "BR": "XBRU", "LS": "XLIS", "MC": "XMAD",
    "MI": "XMIL", "DE": "XETR", "F": "XFRA", "SW": "XSWX", "VI": "XWBO", "ST": "XSTO", "CO": "XCSE",
    "HE": "XHEL", "OL": "XOSL", "IR": "XDUB", "WA": "XWAR", "IS": "XIST", "TO": "XTSE", "V": "XTSE",
    "SA": "BVMF", "MX": "XMEX", "T": "XTKS", "HK": "XHKG", "SS": "XSHG", "SZ": "XSHG", "KS": "XKRX",
    "TW": "XTAI", "SI": "XSES", "AX": "XASX", "NZ": "XNZE", "NS": "XBOM", "BO": "XBOM", "JO": "XJSE",
}  # fmt: skip
"""Yahoo's suffix of a symbol → the calendar of its exchange (ISO 10383 market code)."""

ROUND_THE_CLOCK = {"=X": "24/5", "-USD": "24/7"}
"""The ends of symbols of currencies and of coins → the calendar by which they trade."""

UNFORESEEN = {
    "XNYS": ["1985-09-27", "2001-09-11", "2001-09-12", "2001-09-13", "2001-09-14", "2012-10-29", "2012-10-30"],
    "XTSE": ["2001-09-11", "2001-09-12"],
    "XIST": ["2023-02-08", "2023-02-09", "2023-02-10", "2023-02-13", "2023-02-14"],
    "XTAI": typhoons,
}
"""Days on which an exchange stayed shut and nobody knew it at the close before: storms, attacks, earthquakes.
Mourning for a president, strikes and elections are announced."""

KNOWN_SHARE = 0.99
"""A calendar fits a symbol when at least this share of its dates are sessions."""

SETTLING = np.timedelta64(1, "h")
"""A session counts as closed this long after its close."""


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
    around = [calendar for end, calendar in ROUND_THE_CLOCK.items() if symbol.endswith(end)]
    suffix = symbol.rsplit(".", 1)[-1] if "." in symbol else ""
    guess = around[0] if around else EXCHANGES.get(suffix, DEFAULT)
    if dates is None or len(dates) == 0:
        return guess
    days = np.asarray(dates, "datetime64[D]")
    if np.isin(days, sessions(guess, days.min(), days.max())).mean() >= KNOWN_SHARE:
        return guess
    return "24/5" if np.is_busday(days).mean() >= KNOWN_SHARE else "24/7"


def sessions_a_year(symbol: str) -> int:
    """How many sessions the calendar of a symbol has in a usual year."""
    return {"24/7": 365, "24/5": 260}.get(calendar_for(symbol), 252)


def sessions(calendar: str, start: np.datetime64, stop: np.datetime64) -> np.ndarray:
    """(n,) datetime64[D]: the sessions from `start` to `stop`, both included; none if stop is before start.

    Raises:
        SettingsError: there is no such calendar.
    """
    first, last = _day(start), _day(stop)
    days, _ = _hours(calendar, _decade(first), _decade(max(first, last)))
    return days[np.searchsorted(days, first) : np.searchsorted(days, last, "right")]


def sessions_after(calendar: str, day: np.datetime64, count: int) -> np.ndarray:
    """(count,) datetime64[D]: the next `count` sessions after `day`.

    Raises:
        SettingsError: there is no such calendar.
    """
    day = _day(day)
    return sessions(calendar, day + 1, day + 1 + np.timedelta64(count * 2 + 20, "D"))[:count]


def days_to_next(calendar: str, days: np.ndarray) -> np.ndarray:
    """(n,) calendar days from each session to the next one, as it was known at its close.

    A calendar of today also knows the closures that nobody foresaw: on them the exchange was expected to open.

    Args:
        days: (n,) datetime64[D], rising sessions.

    Raises:
        SettingsError: there is no such calendar.
    """
    if len(days) == 0:
        return np.zeros(0, int)
    after = sessions_after(calendar, days[-1], 1)
    unforeseen = np.array(UNFORESEEN.get(calendar, []), "datetime64[D]")
    expected = np.union1d(np.append(sessions(calendar, days[0], days[-1]), after), unforeseen)
    return (expected[np.searchsorted(expected, days, "right")] - days).astype(int)


def last_closed_session(calendar: str, now: pd.Timestamp) -> np.datetime64:
    """The newest session that had been closed for at least an hour at an instant.

    Args:
        calendar: name of the exchange's calendar.
        now: the instant, with a time zone.

    Raises:
        SettingsError: there is no such calendar, or the instant has no time zone.
    """
    if pd.Timestamp(now).tzinfo is None:
        raise SettingsError(f"the instant {now!s} has no time zone; give one, as in '2024-05-31 18:00-04:00'.")
    moment = pd.Timestamp(now).tz_convert("UTC").tz_localize(None).to_datetime64()
    day = _day(moment)
    days, closes = _hours(calendar, _decade(day - np.timedelta64(60, "D")), _decade(day + 2))
    return days[np.searchsorted(closes + SETTLING, moment, "right") - 1]


def closed_at(calendar: str, session: np.datetime64) -> pd.Timestamp:
    """The instant (UTC) from which a session counts as closed.

    Raises:
        SettingsError: there is no such calendar, or the day is not one of its sessions.
    """
    day = _day(session)
    days, closes = _hours(calendar, _decade(day), _decade(day))
    place = int(np.searchsorted(days, day))
    if place == len(days) or days[place] != day:
        raise SettingsError(f"{day} is not a session of {calendar}.")
    return pd.Timestamp(closes[place] + SETTLING, tz="UTC")


def _day(date: np.datetime64 | pd.Timestamp | str) -> np.datetime64:
    return pd.Timestamp(date).to_datetime64().astype("datetime64[D]")


def _decade(day: np.datetime64) -> int:
    return int(day.astype("datetime64[Y]").astype(int) + 1970) // 10


@functools.lru_cache(maxsize=256)
def _hours(calendar: str, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """The sessions of some decades, and the instants (UTC) at which they close; read-only."""
    if first < last:
        parts = [_hours(calendar, decade, decade) for decade in range(first, last + 1)]
        days, closes = (np.concatenate(column) for column in zip(*parts, strict=True))
    else:
        days, closes = _decade_hours(calendar, np.datetime64(f"{first}0-01-01"), np.datetime64(f"{first}9-12-31"))
    for column in (days, closes):
        column.setflags(write=False)
    return days, closes


def _decade_hours(calendar: str, start: np.datetime64, stop: np.datetime64) -> tuple[np.ndarray, np.ndarray]:
    known = _exchange(calendar, start, stop)
    if known is None:
        assumed = _weekdays(start, stop)
        return assumed, assumed + np.timedelta64(24, "h")
    days, closes = known.sessions.to_numpy().astype("datetime64[D]"), known.closes_nanos.astype("datetime64[ns]")
    earliest, latest = type(known).bound_min(), type(known).bound_max()
    before = _weekdays(start, _day(earliest) - 1) if earliest is not None else days[:0]
    after = _weekdays(_day(latest) + 1, stop) if latest is not None else days[:0]
    time_of_close = closes[-1] - days[-1]
    for assumed in (before, after):
        days = np.concatenate([days, assumed])
        closes = np.concatenate([closes, assumed.astype("datetime64[ns]") + time_of_close])
    order = np.argsort(days)
    return days[order], closes[order]


def _weekdays(start: np.datetime64, stop: np.datetime64) -> np.ndarray:
    days = np.arange(start, stop + 1)
    return days[np.is_busday(days)]


def _exchange(calendar: str, start: np.datetime64, stop: np.datetime64) -> exchange_calendars.ExchangeCalendar | None:
    """The library's calendar of a span, cut to the years it knows; None if it knows none of them."""
    try:
        return exchange_calendars.get_calendar(calendar, start=str(start), end=str(stop))
    except exchange_calendars.errors.InvalidCalendarName:
        known = sorted(set(EXCHANGES.values()) | {DEFAULT, *ROUND_THE_CLOCK.values()})
        raise SettingsError(f"prices.calendar must be an exchange's, such as {known}, got {calendar!r}.") from None
    except ValueError:
        kind = type(_any_span(calendar))
    first = max(start, _day(kind.bound_min() or start))
    last = min(stop, _day(kind.bound_max() or stop))
    return exchange_calendars.get_calendar(calendar, start=str(first), end=str(last)) if first < last else None


def _any_span(calendar: str) -> exchange_calendars.ExchangeCalendar:
    try:
        return exchange_calendars.get_calendar(calendar)
    except ValueError as error:
        raise SettingsError(
            f"prices.calendar {calendar!r} cannot be used: exchange_calendars says {str(error)[:80]!r}. "
            "Take 24/5 (every weekday) or 24/7 instead."
        ) from None
