"""Two simulated years of daily runs against a Yahoo that misbehaves: python -m benchmarks.soak

Every evening of 502 sessions a start, and more of them by chance and after failures; the clock, Yahoo and
the moments of misfortune are simulated, everything else is the application: yfinance, ledger, registry,
gate, journal. The model is EWMA, done in this process; every N-th session a real LSTM, trained in a
process of its own. Prints one figure a line, and ends with code 1 if an invariant does not hold.
"""

import argparse
import contextlib
import ctypes
import functools
import gc
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import exchange_calendars
import numpy as np
import pandas as pd
import pyarrow

from app import registry
from app.config import Settings, load_settings
from app.daily import work
from app.daily.day import daily
from app.daily.lock import locked
from app.daily.process import in_own_process
from app.daily.status import status
from app.daily.steps import Tools
from app.errors import AppError
from app.journal import DONE, SESSION, SKIPPED, Journal
from app.prices.store import Ledger
from app.prices.yahoo import Yahoo
from app.registry.versions import folders
from tests.fake_yahoo import FakeYahoo, Fault, Series

SYMBOLS = ("AAA", "BBB", "CCC", "DDD", "EEE")
FIRST, LAST = "2024-01-02", "2025-12-31"
HISTORY = 320
"""Sessions of prices before the first simulated one."""

CLOSED_AFTER = pd.Timedelta(hours=1)
RETRY = pd.Timedelta(hours=13)
"""From an evening's start to the next morning's."""

TOLERANCE = 1e-5
WEIGHED = 20
"""Sessions from one look at the memory of the driver to the next."""

MEMORY_FROM = 3
"""Looks before the one that is taken as its start: by then all is loaded."""

CHEAP = {"model": "ewma", "baselines": "random-walk", "report": False, "held_out": 40}
REAL = {"model": "lstm", "report": True, "warm_epochs": 1, "timeout_min": 5.0}
NETWORK = {"units": 4, "epochs": 1, "updates": 10, "steps": 16}


@dataclass(frozen=True)
class Plan:
    """What goes wrong when: sets of session numbers, and spans of sleep as first session → sessions slept."""

    sessions: int
    outages: frozenset[int]
    partial: frozenset[int]
    missing: dict[int, int]
    splits: dict[int, tuple[str, float]]
    late_split: tuple[int, int]
    doubled_split: tuple[int, int]
    dividends: dict[int, str]
    unit: tuple[int, int]
    sleeps: dict[int, int]
    kills: frozenset[int]
    full: frozenset[int]
    jumps: dict[int, pd.Timedelta]
    real: frozenset[int]
    rollbacks: frozenset[int]


def plan(sessions: int, seed: int, real_every: int) -> Plan:
    """Misfortunes spread over the sessions; at 502, the numbers are those of the issue."""
    draw = random.Random(seed)
    share = sessions / 502
    slots = list(range(12, sessions - 12))
    draw.shuffle(slots)

    def some(count: int) -> list[int]:
        return [slots.pop() for _ in range(max(1, round(count * share)))]

    sleeps = dict(zip(some(10), [1, 2, 3, 4, 5, 6, 7, 9, 1, 9], strict=False))
    late, doubled = sessions // 4, sessions // 2
    return Plan(
        sessions=sessions,
        outages=frozenset(some(20)),
        partial=frozenset(some(6)),
        missing={day: draw.randint(1, 5) for day in some(4)},
        splits={sessions // 3: ("AAA", 2.0), late: ("BBB", 2.0), doubled: ("CCC", 3.0)},
        late_split=(late, 4),
        doubled_split=(doubled, 3),
        dividends={day: draw.choice(SYMBOLS) for day in some(16)},
        unit=(sessions - 10, 3),
        sleeps=sleeps,
        kills=frozenset(some(12)),
        full=frozenset(some(2)),
        jumps=dict(zip(some(2), [pd.Timedelta(days=400), pd.Timedelta(days=-400)], strict=False)),
        real=frozenset(range(real_every // 2, sessions, real_every)) if real_every else frozenset(),
        rollbacks=frozenset(range(5, sessions, 5)),
    )


@dataclass
class World:
    """The truth of every symbol, and what Yahoo tells of it on a given evening."""

    plan: Plan
    calendar: exchange_calendars.ExchangeCalendar
    days: pd.DatetimeIndex
    truth: dict[str, pd.DataFrame]

    def close(self, number: int) -> pd.Timestamp:
        """When a simulated session closes, UTC."""
        return self.calendar.closes[self.days[HISTORY + number]]

    def served(self, symbol: str, number: int) -> Series:
        """What Yahoo has of a symbol after the close of a session."""
        bars = self.truth[symbol].iloc[: HISTORY + number + 1].copy()
        for day, later in self.plan.missing.items():
            if day <= number < day + later:
                bars.loc[bars.index[HISTORY + day], ["open", "high", "low", "close", "volume"]] = np.nan
        first, days = self.plan.late_split
        if symbol == "BBB" and first <= number < first + days:
            bars.loc[bars.index[HISTORY + first], "split"] = 1.0
        first, days = self.plan.doubled_split
        if symbol == "CCC" and first <= number < first + days:
            bars.loc[bars.index[HISTORY + first], "split"] **= 2
        first, days = self.plan.unit
        if symbol == "DDD" and first <= number < first + days:
            bars.loc[bars.index[HISTORY + first :], ["open", "high", "low", "close"]] *= 100
        return Series(bars)


def world(chosen: Plan, seed: int) -> World:
    """Prices that are calm and wild in turn, with the plan's splits and dividends, as traded."""
    calendar = exchange_calendars.get_calendar("XNYS", start="2020-01-01", end="2026-12-31")
    first = calendar.sessions.get_loc(FIRST)
    days = calendar.sessions[first - HISTORY : first + chosen.sessions]
    truth = {symbol: _truth(symbol, days, chosen, seed + place) for place, symbol in enumerate(SYMBOLS)}
    return World(chosen, calendar, days, truth)


def _truth(symbol: str, days: pd.DatetimeIndex, chosen: Plan, seed: int) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    log_volatility = np.zeros(len(days))
    for day in range(1, len(days)):
        log_volatility[day] = 0.97 * log_volatility[day - 1] + 0.2 * draw.normal()
    close = 100.0 * np.exp(np.cumsum(0.01 * np.exp(log_volatility) * draw.standard_normal(len(days))))
    split, dividend = np.ones(len(days)), np.zeros(len(days))
    for number, (whose, ratio) in chosen.splits.items():
        if whose == symbol:
            split[HISTORY + number] = ratio
    close = close / np.cumprod(split)
    for number, whose in chosen.dividends.items():
        if whose == symbol:
            dividend[HISTORY + number] = 0.005 * close[HISTORY + number - 1]
    open_ = close * np.exp(0.002 * draw.standard_normal(len(days)))
    bars = {"symbol": symbol, "date": days.to_numpy().astype("datetime64[ns]"), "open": open_, "close": close}
    bars |= {"high": np.maximum(open_, close) * 1.004, "low": np.minimum(open_, close) * 0.996}
    return pd.DataFrame(bars).assign(volume=draw.integers(1e6, 2e6, len(days)), dividend=dividend, split=split)


def settings_for(home: Path, real: bool) -> Settings:
    """Those of a start: the cheap model, or a real network."""
    flags = {"home": str(home), "prices": {"source": "yahoo", "symbols": SYMBOLS}, "network": NETWORK}
    flags["backtest"] = {"validation": 60}
    flags["window"] = {"lookback": 20, "horizons": "1,5"}
    flags["fetch"] = {"pause_s": 0.0, "requests_per_s": 1e6, "tries": 2, "timeout_s": 5.0}
    return load_settings({**flags, "daily": {**CHEAP, **REAL} if real else CHEAP})


def tools_at(moment: pd.Timestamp, settings: Settings, real: bool) -> Tools:
    """The simulated clock, Yahoo with that clock, and jobs in this process unless a network is trained."""
    asked = settings.fetch

    def yahoo(_: Settings) -> Yahoo:
        return Yahoo(
            tries=asked.tries, timeout_s=asked.timeout_s, pause_s=0.0, requests_per_s=1e6,
            cache=settings.data / "yahoo-cache", now=lambda: moment,
        )  # fmt: skip

    here = functools.partial(_here, settings)
    apart = functools.partial(in_own_process, "app.daily.work")
    return Tools(now=lambda: moment, source=yahoo, work=apart if real else here)


def _here(settings: Settings, job: dict, folder: Path, bounds: object) -> None:
    """A job in this process, unless the champion is a network: TensorFlow stays out of the driver."""
    if any("lstm" in version for version in job["champions"][:1]):
        in_own_process("app.daily.work", job, folder, bounds)
    else:
        work.do(job, folder)


def start(home: Path, moment: pd.Timestamp, real: bool = False) -> int:
    """One start as the command line makes it; its exit code."""
    settings = settings_for(home, real)
    try:
        with locked(home):
            done = daily(settings, tools_at(moment, settings, real))
        return done.failure.exit_code if done.failure else 0
    except AppError as error:
        return error.exit_code


@dataclass
class Tally:
    """What was counted on the way, and what did not hold."""

    codes: Counter = field(default_factory=Counter)
    counts: Counter = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    def must(self, holds: bool, what: str) -> None:
        """Note it when something does not hold."""
        if not holds:
            self.wrong.append(what)


def live(home: Path, chosen: Plan, seed: int) -> tuple[World, Tally]:
    """Live through the whole plan."""
    made, tally, draw = world(chosen, seed), Tally(), random.Random(seed + 1)
    asleep = 0
    with FakeYahoo() as yahoo, _environment(yahoo.env()):
        for number in range(chosen.sessions):
            asleep = max(asleep - 1, chosen.sleeps.get(number, 0))
            evening = made.close(number) + CLOSED_AFTER + pd.Timedelta(minutes=draw.randint(0, 120))
            if not asleep:
                _serve(yahoo, made, number)
                _evening(home, made, number, evening, tally, draw)
            _check_staleness(home, made, number, evening, tally)
            tally.counts["slept"] += bool(asleep)
            if number % WEIGHED == 0 or number == chosen.sessions - 1:
                tally.memory.append(_memory_mb())
                print(f"session {number}, {tally.memory[-1]:.0f} MB", file=sys.stderr, flush=True)
    return made, tally


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Variables of this process and its children, for a while."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _serve(yahoo: FakeYahoo, made: World, number: int) -> None:
    yahoo.reset()
    for symbol in SYMBOLS:
        yahoo.series[symbol] = made.served(symbol, number)
    kinds = [429, 500, "reset", "bad json", "be right back", "empty"]
    if number in made.plan.outages:
        yahoo.faults.append(Fault(kinds[number % len(kinds)], times=10**6, where="finance.yahoo.com"))
    if number in made.plan.partial:
        yahoo.faults += [Fault(500, times=10**6, where=f"/chart/{symbol}") for symbol in SYMBOLS[:2]]


def _evening(home: Path, made: World, number: int, moment: pd.Timestamp, tally: Tally, draw: random.Random) -> None:
    """The evening's start with its misfortune, and the next morning's."""
    chosen, real = made.plan, number in made.plan.real
    if number in chosen.jumps:
        tally.codes[start(home, moment + chosen.jumps[number])] += 1
        tally.counts["clock jumps"] += 1
    if number in chosen.kills:
        tally.counts["killed"] += _killed(home, moment, draw)
    if number in chosen.full:
        with _full_disk():
            code = start(home, moment)
        tally.must(code == 9, f"a full disk ended with code {code}")
        tally.counts["full disks"] += 1
    if number in chosen.rollbacks:
        tally.counts["rollbacks"] += _roll_back(home, tally)
    code = start(home, moment, real)
    tally.codes[code] += 1
    tally.counts["trained networks"] += real
    tally.must(code == 3 or number not in chosen.outages, f"an outage in session {number} ended with code {code}")
    if real:
        _check_report(home, moment, tally)
    if code == 0 and draw.random() < 0.3:
        again = start(home, moment + pd.Timedelta(minutes=5))
        tally.codes[again] += 1
        tally.must(again == 0, f"the second start of session {number} ended with code {again}")
    if code != 0 or draw.random() < 0.1:
        tally.codes[start(home, moment + RETRY)] += 1


def _check_report(home: Path, moment: pd.Timestamp, tally: Tally) -> None:
    """Once in a while the whole page, which must say until when it is fresh."""
    settings = settings_for(home, real=False)
    pages = sorted((settings.data / "reports").glob("daily-yahoo-*/report.html"))
    tally.must(bool(pages) and "Fresh until" in pages[-1].read_text(), "no page after a network was trained")
    tally.must(status(settings, moment).champion is not None, "no champion after a network was trained")


def _killed(home: Path, moment: pd.Timestamp, draw: random.Random) -> bool:
    """Start in a process of its own and kill it at a random moment; whether it was still at work."""
    command = [sys.executable, "-m", "benchmarks.soak", "--start", str(home), moment.isoformat()]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    child.stdout.readline()
    time.sleep(draw.uniform(0, 1.5))
    child.kill()
    return child.wait() == -9


@contextlib.contextmanager
def _full_disk() -> Iterator[None]:
    """No file may grow beyond 40 kB, less than the ledger has: writes fail as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _roll_back(home: Path, tally: Tally) -> bool:
    """The weekly drill: the newest version into service by hand, and back to the champion before, in under a second."""
    settings = settings_for(home, real=False)
    journal = Journal(settings.ledger, "yahoo")
    line = registry.line(journal.champions())
    newest = folders(settings.versions)[-1:]
    if not line or not newest or newest[0].name == line[-1]:
        return False
    journal.crown(newest[0].name, "forced: drill")
    began = time.monotonic()
    journal.crown(line[-1], f"{registry.ROLLBACK}: drill")
    tally.must(time.monotonic() - began < 1.0, "a rollback took a second or more")
    tally.must(registry.line(journal.champions()) == line, "a rollback did not go back")
    return True


def _check_staleness(home: Path, made: World, number: int, moment: pd.Timestamp, tally: Tally) -> None:
    """What `status` says of staleness against the calendar, read without the application."""
    settings = settings_for(home, real=False)
    found = status(settings, moment)
    origins = Journal(settings.ledger, "yahoo").newest_origins()
    closed = made.calendar.closes[made.calendar.closes + CLOSED_AFTER <= moment].index
    behind = [int((closed > pd.Timestamp(day)).sum()) for day in origins.values()]
    stale = len(origins) < len(SYMBOLS) or max(behind) > 1
    tally.counts["stale evenings"] += stale
    tally.must(bool(found.stale) == stale, f"staleness in session {number}: said {found.stale!r}, is {stale}")


def conclude(home: Path, made: World, tally: Tally) -> Iterator[tuple[str, object]]:
    """The figures at the end; what does not hold is added to the tally."""
    settings = settings_for(home, real=False)
    ledger, journal = Ledger(settings.ledger), Journal(settings.ledger, "yahoo")
    ledger.verify()
    worst, compared = _against_truth(ledger, made, tally)
    yield "rows of the ledger compared with the truth", compared
    yield "largest relative difference", f"{worst:.1e}"
    settled = Counter(n.session for n in journal.notes(stage=SESSION) if n.outcome in (DONE, SKIPPED))
    days = [f"{day:%Y-%m-%d}" for day in made.days[HISTORY:]]
    last = max(settled)
    tally.must(
        [day for day in days if day <= last] == sorted(settled), "sessions settled are not those that there were"
    )
    tally.must(set(settled.values()) == {1}, "a session was settled twice")
    outcomes = Counter(note.outcome for note in journal.settled().values())
    yield (
        "sessions",
        f"{len(days)}: {outcomes[DONE]} done, {outcomes[SKIPPED]} skipped, {sum(day > last for day in days)} open",
    )
    forecasts = journal.forecasts()
    tally.must(not forecasts.duplicated(["symbol", "origin", "horizon", "model"]).any(), "a forecast was made twice")
    yield "forecasts published", len(forecasts)
    champions = journal.champions()
    promoted = sum(not one.reason.startswith(("forced", registry.ROLLBACK)) for one in champions)
    yield "promotions by the gate, the first version included", promoted
    yield "champions", f"{len(champions)} moves of the pointer, now {champions[-1].version}"
    registry.load(registry.find(settings.versions, champions[-1].version))
    yield from sorted(tally.counts.items())
    yield "starts by exit code", dict(sorted(tally.codes.items()))
    growth = tally.memory[-1] - tally.memory[min(MEMORY_FROM, len(tally.memory) - 1)]
    tally.must(growth <= 20, f"the driver grew by {growth:.1f} MB")
    yield "memory of the driver", f"{tally.memory[-1]:.0f} MB, {growth:+.1f} MB since session {MEMORY_FROM * WEIGHED}"
    disk = sum(path.stat().st_size for path in home.rglob("*") if path.is_file()) / 1e6
    tally.must(disk <= 50, f"{disk:.1f} MB on disk")
    yield "disk", f"{disk:.1f} MB"


def _against_truth(ledger: Ledger, made: World, tally: Tally) -> tuple[float, int]:
    """The largest relative difference between the ledger and the truth, and how many rows were compared."""
    stored = ledger.prices("yahoo").set_index(["symbol", "date"])
    newest = stored.index.get_level_values("date").max()
    truth = pd.concat(made.truth.values()).set_index(["symbol", "date"])
    truth = truth[truth.index.get_level_values("date") <= newest]
    tally.must(
        truth.index.difference(stored.index).empty, f"rows missing: {list(truth.index.difference(stored.index))[:3]}"
    )
    fields = ["open", "high", "low", "close", "volume", "dividend", "split"]
    both = stored.index.intersection(truth.index)
    there, real = stored.loc[both, fields].to_numpy(), truth.loc[both, fields].to_numpy(float)
    apart = np.abs(there - real) / np.where(real == 0, 1.0, np.abs(real))
    where = np.argwhere(~(apart <= TOLERANCE))
    named = [(both[row], fields[column], there[row, column], real[row, column]) for row, column in where[:3]]
    tally.must(not len(where), f"{len(where)} values differ from the truth, first {named}")
    return float(np.nanmax(apart)), len(both)


def _memory_mb() -> float:
    """Resident memory after what is free has been given back: figures leave the heap in pieces, which is no leak."""
    gc.collect()
    pyarrow.default_memory_pool().release_unused()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> int:
    """The whole soak; or, with --start, one start that is there to be killed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=502)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--real-every", type=int, default=100, help="sessions from one real network to the next; 0: none"
    )
    parser.add_argument("--keep", help="folder to leave everything in")
    parser.add_argument("--start", nargs=2, metavar=("HOME", "MOMENT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.start:
        print("started", flush=True)
        return start(Path(options.start[0]), pd.Timestamp(options.start[1]))
    home = Path(options.keep or tempfile.mkdtemp(prefix="soak-")).resolve()
    began = time.monotonic()
    try:
        made, tally = live(home, plan(options.sessions, options.seed, options.real_every), options.seed)
        for what, value in conclude(home, made, tally):
            print(f"{what}: {value}")
    finally:
        if not options.keep:
            shutil.rmtree(home, ignore_errors=True)
    used = sum(os.times()[:4])
    print(f"time: {time.monotonic() - began:.0f} s, of processors {used:.0f} s")
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for wrong in tally.wrong:
        print(f"DOES NOT HOLD: {wrong}")
    print("every invariant holds" if not tally.wrong else f"{len(tally.wrong)} invariants do not hold")
    return bool(tally.wrong)


if __name__ == "__main__":
    sys.exit(main())
