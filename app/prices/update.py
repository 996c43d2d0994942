"""Bring the ledger up to date from a source: ask for every symbol, store what can be believed.

One symbol's failure never stops another's, and every symbol has its outcome. Symbols are asked one
after the other: a source allows about one request a second, and a second one would only wait.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from app.errors import AppError, DamageError, DataError, SettingsError, SourceError
from app.prices.calendar import calendar_for, last_closed_session, sessions
from app.prices.outcomes import NoRowsError, Outcome, UnknownSymbolError, Updated, outcome_of
from app.prices.patience import Breaker, Patience
from app.prices.reception import Received
from app.prices.sources import Source
from app.prices.store import Ledger, Standing, facts

log = logging.getLogger(__name__)

OVERLAP = 10
"""Sessions fetched again each time: Yahoo fills gaps and corrects rows days later."""

LONGEST_HELD = np.timedelta64(120, "D")
"""A row in quarantine that no answer has mentioned for so long does not lengthen the overlap any more."""

BATCH = 20
"""Symbols whose answers are stored together: an interruption loses no more than these."""

ELSEWHERE = pd.Timedelta(hours=14)
"""Where the day begins first, it is so much later than in Greenwich."""


def update(
    ledger: Ledger,
    source: Source,
    symbols: Sequence[str],
    calendar: str = "",
    patience: Patience | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> list[Updated]:
    """Fetch every symbol from its tenth-newest stored session on, and store what can be believed.

    Args:
        source: where a source has a clock, `now`, only sessions closed by then are stored, and an
            answer that lacks the newest of them is stale.
        calendar: whose sessions, "" to go by each symbol.
        patience: settings of the fetch; None is the default.
        clock: seconds that never go back, for the deadline.

    Returns:
        One outcome a symbol, in their order.

    Raises:
        DamageError: the ledger holds a session later than today.
        StorageError, LockError: it cannot be written.
        SettingsError: there is no such calendar.
    """
    round_ = _Round(ledger, source, calendar, patience or Patience(), _now(source))
    breaker = Breaker(round_.patience, getattr(source, "longest_s", 0.0), clock)
    standing = ledger.standing(source.name, symbols)
    _refuse_future(standing, source.name, round_.now)
    results: dict[str, Updated] = {}
    wanted = list(standing)
    for start in range(0, len(wanted), BATCH):
        answers = [round_.ask(symbol, standing[symbol], breaker) for symbol in wanted[start : start + BATCH]]
        results |= {result.symbol: result for result in round_.store(answers, breaker)}
        log.info("%s: %d of %d symbols asked", source.name, len(results), len(wanted))
    return _believed(list(results.values()), standing)


def check_clock(ledger: Ledger, source: str, now: pd.Timestamp) -> None:
    """Refuse to work by a clock that the ledger proves wrong.

    Raises:
        DamageError: a stored session is later than today, anywhere on Earth.
    """
    _refuse_future(ledger.standing(source), source, now)


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


@dataclass(frozen=True, eq=False)
class _Answer:
    """One symbol asked: its rows, or what came instead, and the newest session that had closed."""

    result: Updated
    rows: pd.DataFrame | None = None


@dataclass(frozen=True)
class _Round:
    """One update: whom to ask for what, and where to store it."""

    ledger: Ledger
    source: Source
    calendar: str
    patience: Patience
    now: pd.Timestamp | None

    def ask(self, symbol: str, standing: Standing, breaker: Breaker) -> _Answer:
        """Ask for the rows of one symbol since its overlap began, unless the breaker says not to."""
        shut = breaker.closed()
        if shut:
            return _Answer(Updated(symbol, shut[0], detail=f"{symbol} was {shut[1]}. Run again later."))
        start = _overlap_start(standing, calendar_for(symbol, name=self.calendar))
        rows, result = self._history(symbol, start, standing)
        breaker.note(result.outcome)
        return _Answer(result, rows)

    def store(self, answers: list[_Answer], breaker: Breaker) -> list[Updated]:
        """Store the rows of some answers; the outcomes, with what became of the rows."""
        tables = [answer.rows for answer in answers if answer.rows is not None and len(answer.rows)]
        received = self._receive(pd.concat(tables, ignore_index=True)) if tables else {}
        results = []
        for answer in answers:
            symbol = answer.result.symbol
            counts = received.get(symbol, Received())
            results.append(self._whole(symbol, breaker) if counts.whole else _counted(answer.result, counts))
        return results

    def _whole(self, symbol: str, breaker: Breaker) -> Updated:
        """Store the whole history of a symbol that is told in another unit for good."""
        shut = breaker.closed()
        if shut:
            return Updated(symbol, shut[0], detail=f"{symbol} was {shut[1]}. Run again later.")
        rows, result = self._history(symbol, None, Standing())
        breaker.note(result.outcome)
        if rows is None or not len(rows):
            return result
        log.warning("%s: %s was told in another unit twice; its whole history is stored anew", self.source.name, symbol)
        return _counted(result, self._receive(rows, whole=True)[symbol])

    def _receive(self, rows: pd.DataFrame, whole: bool = False) -> dict[str, Received]:
        return self.ledger.receive(
            rows,
            source=self.source.name,
            version=getattr(self.source, "version", ""),
            now=self.now,
            agree_after_h=self.patience.agree_after_h,
            whole=whole,
        )

    def _history(
        self, symbol: str, start: np.datetime64 | None, standing: Standing
    ) -> tuple[pd.DataFrame | None, Updated]:
        """The rows of closed sessions, and the outcome of asking."""
        try:
            rows = facts(self.source.history(symbol, start))
        except (SourceError, UnknownSymbolError) as error:
            return None, self._failure(symbol, error, standing)
        except DataError as error:
            return None, Updated(symbol, Outcome.MALFORMED, detail=f"{symbol}: {error}")
        if self.now is None:
            return rows, _by_dates(symbol, rows, standing, None)
        dates = rows["date"].to_numpy().astype("datetime64[D]")
        closed = last_closed_session(calendar_for(symbol, dates, self.calendar), self.now)
        kept = rows[dates <= closed].reset_index(drop=True)
        return kept, _by_dates(symbol, kept, standing, closed)

    def _failure(self, symbol: str, error: AppError, standing: Standing) -> Updated:
        """The outcome of an error; that a stored symbol is gone is believed only after days of saying so."""
        outcome, detail = outcome_of(error), str(error)
        missing = isinstance(error, UnknownSymbolError | NoRowsError)
        if standing.newest is None or not missing:
            return Updated(symbol, outcome, detail=detail)
        days = self.ledger.note_missing(self.source.name, symbol, detail, self.now)
        if days >= self.patience.missing_days:
            return Updated(symbol, Outcome.NOT_FOUND, detail=f"{detail} So it has said on {days} days.")
        return Updated(
            symbol,
            Outcome.REFUSED,
            detail=f"{detail} Day {days} of {self.patience.missing_days} until that is believed.",
        )


def _believed(results: list[Updated], standing: dict[str, Standing]) -> list[Updated]:
    """Where no other symbol had an answer, that a stored one is gone says more about the source than about it."""
    alone = len(results) == 1 or any(not result.outcome.failed for result in results)
    return [
        result
        if alone or result.outcome is not Outcome.NOT_FOUND or standing[result.symbol].newest is None
        else replace(result, outcome=Outcome.REFUSED)
        for result in results
    ]


def _by_dates(symbol: str, rows: pd.DataFrame, standing: Standing, closed: np.datetime64 | None) -> Updated:
    """The outcome of an answer, by its newest session."""
    told = rows.loc[rows["close"].notna(), "date"].to_numpy().astype("datetime64[D]")
    if not len(told):
        return Updated(symbol, Outcome.NO_NEW_SESSION)
    newest = told.max()
    if closed is not None and newest < closed:
        detail = f"{symbol}: the newest session told is {newest}, and {closed} has closed since"
        return Updated(symbol, Outcome.STALE, detail=detail)
    fresh = standing.newest is None or newest > standing.newest
    return Updated(symbol, Outcome.OK if fresh else Outcome.NO_NEW_SESSION)


def _counted(result: Updated, counts: Received) -> Updated:
    """An outcome with what became of the rows."""
    held = f"{result.symbol}: {counts.held} row(s) held until a later answer agrees; see `prices quarantine`"
    detail = result.detail or (held if counts.held else "")
    return replace(
        result, new=counts.new, revised=counts.revised, held=counts.held, released=counts.released, detail=detail
    )


def _now(source: Source) -> pd.Timestamp | None:
    clock = getattr(source, "now", None)
    return clock() if clock else None


def _refuse_future(standing: dict[str, Standing], source: str, now: pd.Timestamp | None) -> None:
    stored = [(str(one.newest), symbol) for symbol, one in standing.items() if one.newest is not None]
    if now is None or not stored:
        return
    last, symbol = max(stored)
    if last > f"{now + ELSEWHERE:%Y-%m-%d}":
        raise DamageError(
            f"clock? The ledger holds {source}'s {symbol} of {last}, but this machine's clock says "
            f"{now:%Y-%m-%d %H:%M} UTC. Set the clock and run again; if it is right, put back a copy of the ledger."
        )


def _overlap_start(standing: Standing, calendar: str) -> np.datetime64 | None:
    """The first day to ask for: everything for a new symbol, else the last `OVERLAP` stored sessions.

    Rows in quarantine are asked for again, so that a later answer can settle them.
    """
    if standing.newest is None:
        return None
    start = sessions(calendar, standing.newest - np.timedelta64(2 * OVERLAP + 15, "D"), standing.newest)[-OVERLAP:][0]
    if standing.held is None or standing.held < standing.newest - LONGEST_HELD:
        return start
    return min(start, standing.held)
