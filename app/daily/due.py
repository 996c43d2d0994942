"""What is due: found out from the calendar, the ledger and what was forecast, never from when a run last was."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from app.config import Settings
from app.errors import SettingsError
from app.journal import Journal, Note
from app.prices.calendar import calendar_for, closed_at, last_closed_session, sessions
from app.prices.providers import PROVIDERS
from app.prices.sources import Sample, check_symbol
from app.prices.store import Ledger
from app.prices.update import check_clock

LEFT_OUT = "left-out"
"""The stage under which symbols are noted that have prices of a session and still cannot be forecast."""


@dataclass(frozen=True)
class Due:
    """What a start finds to do.

    session: the newest that has closed, for any symbol. now: the moment it is judged by. expected: symbol →
    the newest session it should be forecast from. held: symbol → its newest price. behind: symbols
    without a forecast from their expected session. waiting: those whose exchange is still open on `session`.
    missed: earlier sessions that nobody forecast. settled: whether the session is done with already.
    """

    session: str
    now: pd.Timestamp
    expected: Mapping[str, np.datetime64]
    held: Mapping[str, np.datetime64 | None]
    behind: tuple[str, ...]
    waiting: tuple[str, ...]
    missed: tuple[str, ...]
    settled: bool

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to do."""
        return not self.behind and (self.settled or bool(self.waiting))

    @property
    def unpriced(self) -> tuple[str, ...]:
        """Symbols whose price of the expected session is not known yet."""
        return tuple(
            symbol for symbol, day in self.expected.items() if (last := self.held[symbol]) is None or last < day
        )


def due(settings: Settings, journal: Journal, now: pd.Timestamp | None = None) -> Due:
    """What is due at a moment.

    Args:
        now: with a time zone, the clock by default. The sample and imported prices end when they end: there
            it is the moment at which their newest session counts as closed.

    Raises:
        SettingsError: there is no symbol to forecast.
        DamageError: the ledger is ahead of the clock.
    """
    symbols = wanted(settings)
    calendars = {symbol: calendar_for(symbol, name=settings.prices.calendar) for symbol in symbols}
    held = _held(settings, symbols)
    if settings.prices.source in PROVIDERS:
        clock = pd.Timestamp.now(tz="UTC") if now is None else now
        moment = clock - pd.Timedelta(minutes=settings.daily.lateness_min)
        expected = {symbol: last_closed_session(calendar, moment) for symbol, calendar in calendars.items()}
        check_clock(Ledger(settings.ledger), settings.prices.source, clock)
    else:
        expected = {symbol: _session(calendars[symbol], day) for symbol, day in held.items() if day is not None}
        moment = max(closed_at(calendars[symbol], day) for symbol, day in expected.items())
    session = max(expected.values())
    origins, left_out = (
        journal.newest_origins(),
        {note.detail.split(":")[0] for note in journal.notes(str(session), LEFT_OUT)},
    )
    settled = journal.settled()
    return Due(
        session=str(session),
        now=moment,
        expected=expected,
        held=held,
        behind=tuple(s for s, day in expected.items() if origins.get(s, "") < str(day) and s not in left_out),
        waiting=tuple(s for s, day in expected.items() if day < session and _trades(calendars[s], session, settings)),
        missed=_missed(calendars, session, settled),
        settled=str(session) in settled,
    )


def wanted(settings: Settings) -> tuple[str, ...]:
    """The symbols asked for; without any, those of the source or of the ledger.

    Raises:
        SettingsError: there is none, the source keeps nothing in the ledger, or the target is no return.
    """
    source = settings.prices.source
    if settings.window.target != "return":
        raise SettingsError(
            f"daily: window.target must be 'return', got {settings.window.target!r}. What it publishes are returns; "
            "the other targets are judged by `python -m app backtest --target`."
        )
    if settings.prices.stop:
        raise SettingsError(f"daily works on the newest session: leave out --end, got {settings.prices.stop!r}.")
    if source == "files":
        raise SettingsError(
            "daily keeps its prices in the ledger: `python -m app prices import PATH`, then `daily --source import`."
        )
    held = Ledger(settings.ledger).symbols(source)
    symbols = settings.prices.symbols or (Sample().symbols() if source == "sample" else held)
    missing = [symbol for symbol in symbols if symbol not in held] if source == "import" else []
    if missing or not symbols:
        raise SettingsError(
            f"daily: {f'the ledger holds no imported {missing[0]!r}' if missing else 'no symbols'}. Name some, as in "
            "--symbols AAPL MSFT, or import some: `python -m app prices import PATH`."
        )
    return tuple(check_symbol(symbol) for symbol in symbols)


def _held(settings: Settings, symbols: tuple[str, ...]) -> dict[str, np.datetime64 | None]:
    """Symbol → the newest session the ledger knows; of the sample, the newest there is."""
    if settings.prices.source == "sample":
        sample = Sample()
        return {s: sample.history(s)["date"].max().to_datetime64().astype("datetime64[D]") for s in symbols}
    standing = Ledger(settings.ledger).standing(settings.prices.source, symbols)
    return {symbol: standing[symbol].newest for symbol in symbols}


def _session(calendar: str, day: np.datetime64) -> np.datetime64:
    """The day if it is a session, else the last one before it: a file may hold a row of a holiday."""
    last = sessions(calendar, day - np.timedelta64(30, "D"), day)
    return last[-1] if len(last) else day


def _trades(calendar: str, session: np.datetime64, settings: Settings) -> bool:
    return settings.prices.source in PROVIDERS and len(sessions(calendar, session, session)) > 0


def _missed(calendars: Mapping[str, str], session: np.datetime64, settled: Mapping[str, Note]) -> tuple[str, ...]:
    """Sessions of any exchange after the newest that was settled and before this one; none before the first."""
    if not settled:
        return ()
    last = np.datetime64(max(settled), "D")
    days = {str(day) for calendar in set(calendars.values()) for day in sessions(calendar, last + 1, session - 1)}
    return tuple(sorted(days - set(settled)))
