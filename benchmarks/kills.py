"""Kill -9 at random moments: python -m benchmarks.kills [append|report|daily ...] --times 200

append: rows into the ledger, each acknowledged through a pipe. report: the page of a session, again and again.
daily: whole starts, from before the sweep to after the page. A child is forked from a warm process, so that the
moments fall on the work and not on Python's start. What was acknowledged must be there, the ledger must pass
its check, there must be exactly one champion and one whole page or none, and the next start must end by itself.
"""

import argparse
import contextlib
import dataclasses
import functools
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from app import registry
from app.config import Settings, load_settings
from app.daily import leftovers, work
from app.daily.day import daily
from app.daily.freshness import Freshness
from app.daily.lock import locked
from app.daily.page import page_folder, write_page
from app.daily.steps import Tools
from app.journal import DONE, SESSION, SKIPPED, Journal
from app.prices.store import Ledger
from benchmarks.crowd import prices

TABLE = prices(330)
DAYS = sorted(TABLE["date"].unique())
BEFORE = 300


def settings_of(home: Path) -> Settings:
    """A cheap model on imported prices."""
    routine = {"model": "ewma", "baselines": "random-walk", "report": False, "held_out": 40}
    spec = {"lookback": 20, "horizons": "1,5"}
    flags = {"home": str(home), "prices": {"source": "import"}, "window": spec, "backtest": {"validation": 60}}
    return load_settings({**flags, "daily": routine})


def killed(act: Callable[[int], None], after_s: float) -> tuple[bool, list[int]]:
    """Do something in a forked child and kill it after a while; (whether it was still at work, what it acknowledged).

    Args:
        act: is given a descriptor on which it writes a byte for each thing it has done.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        with contextlib.suppress(BaseException):
            act(writer)
            os._exit(0)
        os._exit(1)
    os.close(writer)
    time.sleep(after_s)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    told = b""
    while piece := os.read(reader, 65536):
        told += piece
    os.close(reader)
    if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
        raise SystemExit("the child failed by itself")
    return os.WIFSIGNALED(status), list(told)


def append(folder: Path, times: int, draw: random.Random) -> Counter:
    """Rows one session after the other; every acknowledged one must be there."""
    found: Counter = Counter()
    ledger, next_row = Ledger(folder / "append.sqlite"), 0
    days = pd.date_range("1900-01-01", periods=200_000)

    def act(begin: int, writer: int) -> None:
        for row in range(begin, begin + 250):
            ledger.append(pd.DataFrame({"symbol": "AAA", "date": [days[row]], "close": 1.0 + row}), source="import")
            os.write(writer, b"x")

    for _ in range(times):
        at_work, told = killed(functools.partial(act, next_row), draw.uniform(0, 0.5))
        stored = ledger.prices("import")
        ledger.verify()
        found["killed"] += at_work
        found["acknowledged rows"] += len(told)
        found["LOST"] += max(0, next_row + len(told) - len(stored))
        found["TORN ROWS"] += int((stored["close"].to_numpy() != 1.0 + pd.RangeIndex(len(stored)).to_numpy()).any())
        next_row = len(stored)
    return found


def whole_days(folder: Path, times: int, draw: random.Random) -> Counter:
    """Starts killed anywhere, then one that must finish what they began."""
    found: Counter = Counter()
    home, tools = folder / "home", Tools(work=lambda job, place, bounds: work.do(job, place))
    settings = settings_of(home)
    ledger, journal = Ledger(settings.ledger), Journal(settings.ledger, "import")

    def start(_: int = 0) -> None:
        with locked(home):
            daily(settings, tools)

    number, took, champions = 0, 1.0, []
    while found["killed"] < times:
        if number % (len(DAYS) - BEFORE - 1) == 0:
            shutil.rmtree(home, ignore_errors=True)
            champions = []
        day = DAYS[BEFORE + number % (len(DAYS) - BEFORE - 1)]
        ledger.append(TABLE[TABLE["date"] <= day], source="import")
        for _ in range(3):
            at_work, _told = killed(start, draw.uniform(0, 1.2 * took))
            found["killed"] += at_work
        began = time.monotonic()
        start()
        took = time.monotonic() - began
        ledger.verify()
        settled = Counter(n.session for n in journal.notes(stage=SESSION) if n.outcome in (DONE, SKIPPED))
        found["SESSIONS NOT DONE ONCE"] += settled[f"{pd.Timestamp(day):%Y-%m-%d}"] != 1 or max(settled.values()) > 1
        found["FORECASTS NOT ONCE"] += int(
            journal.forecasts().duplicated(["symbol", "origin", "horizon", "model"]).sum()
        )
        rows = [one.version for one in journal.champions()]
        found["CHAMPIONS LOST"] += rows[: len(champions)] != champions
        found["CHAMPIONS NOT WHOLE"] += sum(not _loads(settings, one) for one in rows[-1:])
        champions, number = rows, number + 1
    found["sessions"] = number
    return found


def report(folder: Path, times: int, draw: random.Random) -> Counter:
    """The page and its table, written again and again over the old ones."""
    found: Counter = Counter()
    settings = settings_of(folder / "reported")
    Ledger(settings.ledger).append(TABLE, source="import")
    settings = settings.model_copy(update={"daily": dataclasses.replace(settings.daily, report=True)})
    with locked(settings.home):
        done = daily(settings, Tools(work=lambda job, place, bounds: work.do(job, place)))
    place = page_folder(settings, done.session)
    write = functools.partial(write_page, settings, done.session, pd.Timestamp.now(tz="UTC"), Freshness({}).told)
    whole = {path.relative_to(place) for path in place.rglob("*")}
    took = -time.monotonic()
    write()
    took += time.monotonic()

    def act(writer: int) -> None:
        write()
        os.write(writer, b"x")

    number = -1
    while found["killed"] < times:
        number += 1
        if number % 20 == 0:  # by turns the first page of a session, and one in the place of another
            shutil.rmtree(place)
        at_work, _ = killed(act, draw.uniform(0, 1.1 * took))
        found["killed"] += at_work
        found["pages there"] += place.exists()
        found["TORN PAGES"] += place.exists() and not _whole_page(place, whole)
        if number % 10 == 9:
            leftovers.sweep(settings, time.time() + 2 * leftovers.ABANDONED_S)
            write()
            found["next writes"] += 1
            found["NOT WHOLE AFTER THE NEXT WRITE"] += not _whole_page(place, whole)
            found["LEFT BEHIND"] += len(list(place.parent.iterdir())) - 1
    return found


def _whole_page(place: Path, whole: set[Path]) -> bool:
    """Whether a page is there from its first line to its last, with every figure and its table."""
    page = (place / "report.html").read_text(encoding="utf-8")
    there = {path.relative_to(place) for path in place.rglob("*")}
    return there == whole and page.rstrip().endswith("</html>") and len(pd.read_csv(place / "live.csv")) == 8


def _loads(settings: Settings, version: str) -> bool:
    """Whether a version is all there and forecasts as it did."""
    try:
        registry.load(registry.find(settings.versions, version))
    except Exception:
        return False
    return True


KINDS = {"append": append, "report": report, "daily": whole_days}


def main() -> int:
    """Print what was found, kind by kind; capitals are what must be 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", help=f"of {', '.join(KINDS)} (default: all)")
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        for kind in options.kinds or KINDS:
            began = time.monotonic()
            found = KINDS[kind](Path(folder), options.times, random.Random(options.seed))
            wrong += sum(count for what, count in found.items() if what.isupper())
            counts = ", ".join(f"{count} {what}" for what, count in found.items())
            print(f"{kind}: {counts}; {time.monotonic() - began:.0f} s", flush=True)
    print("holds" if not wrong else "DOES NOT HOLD")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
