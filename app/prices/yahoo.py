"""Yahoo through yfinance: the only module that knows either.

Yahoo serves prices, volumes and dividends in the shares of the day of the request, so each later split
rewrites them. Here they become facts as traded, which no later split changes. For that the splits up
to the present must be known: every request runs to the present, and `stop` is cut off afterwards.

Every failure has a type, and every type one line that says what to do.
"""

import contextlib
import functools
import logging
import random
import sqlite3
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import yfinance as yf
from yfinance.exceptions import YFException, YFPricesMissingError, YFRateLimitError, YFTzMissingError

from app.allowed import check_ranges
from app.atomic import ensure_writable
from app.errors import AppError, SourceError
from app.prices.adjust import as_traded
from app.prices.calendar import calendar_for, last_closed_session, sessions
from app.prices.outcomes import (
    MalformedError,
    NoRowsError,
    RateLimitError,
    RefusedError,
    UnknownSymbolError,
    UnreachableError,
)
from app.prices.patience import RANGES
from app.prices.sources import between, check_symbol
from app.prices.turns import Turns
from app.schema import PRICE_COLUMNS, prices_table

log = logging.getLogger(__name__)

NAMES = {
    "Open": "open", "High": "high", "Low": "low", "Close": "close", "Volume": "volume",
    "Dividends": "dividend", "Stock Splits": "split",
}  # fmt: skip
"""yfinance's columns → ours."""

QUOTED = ["open", "high", "low", "close"]
EARLIEST = pd.DateOffset(years=99)
"""Yahoo refuses to serve more than 100 years of daily bars at once."""

RECENT = 260
"""Newest rows by which the calendar of a symbol is judged: a year."""

UNKNOWN = "No data found, symbol"
"""How Yahoo begins its 404. "No data found for this date range" says something else."""

LAST_REQUEST = "last-request"
"""The file in the cache folder by which processes share the rate of requests."""

WAY_OUT = "Try again later: what is stored is unchanged, and --offline uses it."


@dataclass(frozen=True)
class Yahoo:
    """Daily bars from Yahoo Finance. Threads may share one: they then share its request rate, too.
    Processes share the rate with whoever has the same cache folder.

    tries: how often one symbol is asked for. timeout_s: how long one answer may take. pause_s: the
    first pause after a failure; it doubles each time and is scattered by half. requests_per_s: tries
    begun per second; a symbol's first one also asks for its time zone. deadline_s: no further
    try for a symbol after this time. calendar: its exchange's calendar, "" to go by the symbol. cache:
    folder for what yfinance remembers (cookie, time zones), which may be deleted at any time; None for
    one that lives as long as the process. The first folder a process asks with is the one it uses.
    now, clock, sleep: for tests.
    """

    tries: int = 3
    timeout_s: float = 20.0
    pause_s: float = 2.0
    requests_per_s: float = 1.0
    deadline_s: float = 60.0
    calendar: str = ""
    cache: Path | None = None
    now: Callable[[], pd.Timestamp] = field(default=functools.partial(pd.Timestamp.now, "UTC"), repr=False)
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    sleep: Callable[[float], object] = field(default=time.sleep, repr=False)
    _turns: Turns = field(init=False, repr=False, compare=False)

    name = "yahoo"

    version = f"yfinance {yf.__version__}"

    def __post_init__(self) -> None:
        check_ranges("fetch", self, {name: bounds for name, bounds in RANGES.items() if hasattr(self, name)})
        shared = self.cache / LAST_REQUEST if self.cache else None
        object.__setattr__(self, "_turns", Turns(shared, self.clock, self.sleep))

    @property
    def longest_s(self) -> float:
        """How long asking for one symbol may take: a try begun at the deadline asks twice."""
        return self.deadline_s + 2 * self.timeout_s

    def symbols(self) -> tuple[str, ...]:
        """None: Yahoo cannot be listed."""
        return ()

    def history(
        self, symbol: str, start: np.datetime64 | None = None, stop: np.datetime64 | None = None
    ) -> pd.DataFrame:
        """A price table of one symbol, as traded, in time order, of sessions that have closed.

        A session without prices is kept, all NaN, except at the end: there it has not arrived yet.
        Without a closed session from `start` to `stop`, nothing is asked and the table is empty.

        Raises:
            UnknownSymbolError: Yahoo has no such symbol.
            SettingsError: it is not spelt like a symbol, or there is no such calendar.
            SourceError: after all tries, as RateLimitError, UnreachableError, RefusedError, MalformedError
                or NoRowsError.
            StorageError: the cache folder cannot be written.
        """
        check_symbol(symbol)
        now = self.now()
        if start is not None and not self._any_session(symbol, start, stop, now):
            return prices_table(pd.DataFrame(columns=list(PRICE_COLUMNS)))
        first = now - EARLIEST if start is None else max(pd.Timestamp(start, tz="UTC"), now - EARLIEST)
        facts = _facts(symbol, self._ask(symbol, first, now))
        return between(_settled(facts, now, self.calendar), start, stop)

    def _any_session(self, symbol: str, start: np.datetime64, stop: np.datetime64 | None, now: pd.Timestamp) -> bool:
        """Whether a session from `start` to `stop` has closed."""
        calendar = calendar_for(symbol, name=self.calendar)
        last = last_closed_session(calendar, now)
        if stop is not None:
            last = min(stop, last)
        return len(sessions(calendar, start, last)) > 0

    def _ask(self, symbol: str, first: pd.Timestamp, now: pd.Timestamp) -> pd.DataFrame:
        """What yfinance gives from `first` to the present, with patience."""
        _set_up(self.cache)
        began, tried = self.clock(), 0
        while True:
            self._turns.wait(1.0 / self.requests_per_s)
            tried += 1
            try:
                return _served(symbol, first, now, self.timeout_s)
            except SourceError as error:
                failure = error
            pause = self.pause_s * 2 ** (tried - 1) * random.uniform(0.5, 1.5)
            if tried >= self.tries or self.clock() + pause > began + self.deadline_s:
                break
            log.info("%s, try %d of %d; next in %.1f s", failure, tried, self.tries, pause)
            self.sleep(pause)
        raise type(failure)(f"{failure}, tried {tried} time(s). {WAY_OUT}") from failure.__cause__


@functools.cache
def _set_up(cache: Path | None) -> tempfile.TemporaryDirectory | None:
    """Bring yfinance to raise instead of hiding failures, to be quiet, and to keep its caches in one folder."""
    yf.config.debug.hide_exceptions = False
    yf.config.network.retries = 0  # its own pauses cannot be interrupted and know no deadline
    logging.getLogger("yfinance").setLevel(logging.CRITICAL + 1)
    # yfinance's import turns its deprecation warnings on, so they can be turned off only after it
    warnings.filterwarnings("ignore", category=pd.errors.Pandas4Warning, module="yfinance")
    own = tempfile.TemporaryDirectory(prefix="yahoo-") if cache is None else None
    folder = ensure_writable(Path(own.name if own else str(cache)))
    for path in folder.glob("*.db"):
        _drop_if_damaged(path)
    yf.set_tz_cache_location(str(folder))
    return own


def _drop_if_damaged(path: Path) -> None:
    """Delete a cache that SQLite cannot read; yfinance would fail on it for ever."""
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            sound = connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
    except sqlite3.OperationalError:  # locked by another process, so in use
        sound = True
    except sqlite3.DatabaseError:
        sound = False
    if not sound:
        for part in path.parent.glob(f"{path.name}*"):
            part.unlink(missing_ok=True)


def _served(symbol: str, first: pd.Timestamp, now: pd.Timestamp, timeout_s: float) -> pd.DataFrame:
    """One try. The index is the date of each row, exchange-local.

    Raises:
        UnknownSymbolError or one of this module's kinds of SourceError, whose text is still without a way out.
    """
    # two days more, so that it is over in every time zone: a split before today's opening counts already
    span = {"start": first.strftime("%Y-%m-%d"), "end": (now + pd.Timedelta(days=2)).strftime("%Y-%m-%d")}
    try:
        table = _history(symbol, timeout_s, span)
    except Exception as error:  # yfinance fails in whatever way the answer makes it fail
        raise _outcome(symbol, error) from error
    missing = [name for name in NAMES if name not in table.columns]
    if missing:
        raise MalformedError(f"{symbol}: Yahoo's answer has no column {missing[0]!r}, only {list(table.columns)}")
    days = pd.DatetimeIndex(table.index)
    if not (days <= now).any():
        raise NoRowsError(f"{symbol}: Yahoo returned no rows from {span['start']}, though sessions have closed since")
    return table.set_axis(days.tz_localize(None).normalize())[days <= now]


def _history(symbol: str, timeout_s: float, span: dict[str, str]) -> pd.DataFrame:
    yf.data.YfData.cache_get.cache_clear()  # it keeps failed answers as well
    plain = {"auto_adjust": False, "actions": True, "keepna": True, "timeout": timeout_s}
    ticker = yf.Ticker(symbol)
    try:
        return ticker.history(**span, **plain)
    except YFTzMissingError:  # raised for unknown symbols and for passing errors alike: this tells Yahoo's reason
        ticker.history(period="5d", **plain)
        raise


def _outcome(symbol: str, error: Exception) -> AppError:
    """What a failure of yfinance means to us."""
    status = getattr(getattr(error, "response", None), "status_code", 0)
    reason = getattr(error, "yahoo_reason", None) or ""
    if isinstance(error, YFRateLimitError) or status == 429:
        return RateLimitError(f"{symbol}: Yahoo wants fewer requests (429)")
    if status == 404 or reason.startswith(UNKNOWN):
        return UnknownSymbolError(f"Yahoo knows no symbol {symbol!r}. Spell it as Yahoo does: BRK-B, ^GSPC, 0700.HK.")
    if isinstance(error, YFPricesMissingError) and (not reason or "Data doesn't exist" in reason):
        return NoRowsError(f"{symbol}: Yahoo returned no rows, though sessions have closed")
    if isinstance(error, YFException) or status >= 400:
        said = reason or getattr(error, "rationale", "") or str(error)
        return RefusedError(f"{symbol}: Yahoo refused ({' '.join(said.split())[:80]})")
    if isinstance(error, OSError) and not isinstance(error, ValueError):
        return UnreachableError(f"{symbol}: Yahoo could not be reached ({type(error).__name__})")
    return MalformedError(f"{symbol}: Yahoo's answer could not be read ({type(error).__name__})")


def _facts(symbol: str, served: pd.DataFrame) -> pd.DataFrame:
    """The price table as traded of all that was served."""
    told = {name: served[theirs].to_numpy() for theirs, name in NAMES.items()}
    told["split"] = np.where(told["split"] > 0, told["split"], 1.0)
    quoted = np.any([pd.notna(told[name]) for name in QUOTED], axis=0)
    told["volume"] = np.where(quoted, told["volume"], np.nan)  # yfinance writes 0 for not known
    return as_traded(prices_table(pd.DataFrame({"symbol": symbol, "date": served.index, **told})))


def _settled(facts: pd.DataFrame, now: pd.Timestamp, calendar: str) -> pd.DataFrame:
    """The rows of closed sessions, up to the newest that has prices; rows without any only for sessions."""
    dates = facts["date"].to_numpy().astype("datetime64[D]")
    quoted = facts[QUOTED].notna().any(axis=1).to_numpy()
    name = calendar_for(facts["symbol"].iloc[0], dates[quoted][-RECENT:], calendar)
    closed = dates <= last_closed_session(name, now)
    if not (quoted & closed).any():
        return facts.iloc[:0]
    blank = dates[~quoted]
    expected = np.isin(dates, sessions(name, blank.min(), blank.max())) if len(blank) else quoted
    return facts[(quoted | expected) & (dates <= dates[quoted & closed].max())].reset_index(drop=True)
