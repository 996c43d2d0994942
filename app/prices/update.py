"""Bring the ledger up to date from a source: ask, then append what is new."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from app.errors import SettingsError, SourceError
from app.prices.calendar import calendar_for, sessions
from app.prices.sources import Source
from app.prices.store import Ledger

log = logging.getLogger(__name__)

OVERLAP = 10
"""Sessions fetched again each time: Yahoo fills gaps and corrects rows days later."""


@dataclass(frozen=True)
class Updated:
    """Rows that were new, and rows that were known with other values, for one symbol."""

    symbol: str
    new: int
    revised: int


def update(
    ledger: Ledger, source: Source, symbols: Sequence[str], calendar: str = "", version: str = ""
) -> list[Updated]:
    """Fetch every symbol from its tenth-newest stored session on, then append.

    A symbol the source does not know stops everything before anything is stored: it is a typing
    error. When the source fails for some symbols, the others are stored first.

    Raises:
        SettingsError: the source does not know a symbol.
        SourceError: it could not be asked for some of them; the message names them.
    """
    fetched: dict[str, pd.DataFrame] = {}
    failed: dict[str, str] = {}
    for number, symbol in enumerate(symbols, start=1):
        start = _overlap_start(ledger.newest(source.name, symbol), calendar_for(symbol, name=calendar))
        try:
            fetched[symbol] = source.history(symbol, start)
            log.info("%s: %s, %d rows (%d of %d)", source.name, symbol, len(fetched[symbol]), number, len(symbols))
        except SourceError as error:
            failed[symbol] = str(error)
            log.info("%s: %s failed (%d of %d)", source.name, symbol, number, len(symbols))
    done = []
    for symbol, table in fetched.items():
        appended = ledger.append(table, source=source.name, version=version)
        done.append(Updated(symbol, appended.new, appended.revised))
    if failed:
        first = next(iter(failed.values()))
        count = (
            f"{len(fetched)} symbol(s) stored, {len(failed)} not ({', '.join(list(failed)[:10])}): "
            if len(symbols) > 1
            else ""
        )
        raise SourceError(f"{count}{first}")
    return done


def unknown_symbols(symbols: Sequence[str], held: Sequence[str], place: str) -> None:
    """Refuse symbols that a place which can be listed does not hold.

    Raises:
        SettingsError: naming them and some that are held.
    """
    missing = [symbol for symbol in symbols if symbol not in set(held)]
    if missing:
        raise SettingsError(
            f"{place} holds no {', '.join(missing)}; it holds {list(held)[:10]}{' …' if len(held) > 10 else ''}."
        )


def _overlap_start(newest: np.datetime64 | None, calendar: str) -> np.datetime64 | None:
    """The first day to ask for: everything for a new symbol, else the last `OVERLAP` stored sessions."""
    if newest is None:
        return None
    return sessions(calendar, newest - np.timedelta64(2 * OVERLAP + 15, "D"), newest)[-OVERLAP:][0]
