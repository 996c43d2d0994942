"""A whole day for two hundred symbols, champion trained on: python -m benchmarks.daily --prices us_daily.parquet

One start trains from scratch, so that there is a champion. Then comes the newest session, and the start that is
measured trains that champion on, compares, forecasts with it, the random walk and GJR-GARCH, and writes the page.

The prices are imported as data, so that no fetch is in it. With `--fetched` they come from a Yahoo on this machine,
through yfinance: ten sessions of each symbol, at `--rate` requests a second. Then the clock is one of those days'
evenings. At the rate that is polite to the real Yahoo, one a second, 200 symbols take 200 s.
"""

import argparse
import dataclasses
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from app.cli import by_section
from app.config import load_settings
from app.daily.day import daily
from app.daily.lock import locked
from app.daily.logs import logged
from app.daily.steps import Tools
from app.home import PROJECT
from app.prices.calendar import DEFAULT, closed_at
from app.prices.providers import USUAL, provider
from app.prices.sources import Files
from app.prices.store import Ledger
from tests.fake_yahoo import FakeYahoo, Series


def main() -> int:
    """Print the seconds of both starts, stage by stage; or, with --at, be one of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prices", help="a Parquet or CSV file of daily prices")
    parser.add_argument("--symbols", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=180.0, help="what the measured start may take")
    parser.add_argument("--set", action="append", default=[], help="settings of both starts")
    parser.add_argument("--first", action="append", default=[], help="settings of the first start alone")
    parser.add_argument("--fetched", action="store_true", help="fetch the newest sessions from a Yahoo on this machine")
    parser.add_argument("--rate", type=float, default=4.0, help="requests a second, with --fetched")
    parser.add_argument("--at", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.at:
        return start_at(pd.Timestamp(options.at), options.set)
    if not options.prices:
        parser.error("the following arguments are required: --prices")
    table = Files(Path(options.prices)).table()
    table = table[table["symbol"].isin(sorted(table["symbol"].unique())[: options.symbols])]
    table = table[table["date"] <= table.groupby("symbol")["date"].max().min()]  # the newest session that all have
    home = Path(tempfile.mkdtemp(prefix="daily-"))
    try:
        if options.fetched:
            took = fetched(home, table, [f"fetch.requests_per_s={options.rate:g}", *options.set], options.first)
        else:
            took = imported(home, table, options.set, options.first)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print(f"{table['symbol'].nunique()} symbols, {len(table)} rows to {table['date'].max():%Y-%m-%d}")
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print("holds" if took <= options.seconds else f"DOES NOT HOLD: {took:.0f} s, allowed are {options.seconds:.0f}")
    return took > options.seconds


def imported(home: Path, table: pd.DataFrame, settings: list[str], first: list[str]) -> float:
    """Seconds of the second start, where the prices are imported; both are printed."""
    ledger, newest = Ledger(home / "data" / "ledger.sqlite"), table["date"].max()
    command = [sys.executable, "-m", "app", "daily", "--source", "import", "--json"]
    ledger.append(table[table["date"] < newest], source="import")
    start(home, [*command, *_flags([*settings, *first])], "from scratch")
    ledger.append(table[table["date"] >= newest - pd.Timedelta(days=14)], source="import")
    return start(home, [*command, *_flags(settings)], "champion trained on")


def fetched(home: Path, table: pd.DataFrame, settings: list[str], first: list[str]) -> float:
    """Seconds of the second start, where the prices are fetched; both are printed."""
    *_, stored, before, newest = sorted(table["date"].unique())
    evening = {day: closed_at(DEFAULT, day) + pd.Timedelta(hours=1) for day in (stored, before, newest)}
    ledger = Ledger(home / "data" / "ledger.sqlite")
    ledger.append(table[table["date"] <= stored], source=USUAL, fetched_at=evening[stored].isoformat())
    with FakeYahoo() as yahoo:
        for name, day, given in (("from scratch", before, first), ("champion trained on", newest, [])):
            known = table[table["date"] <= day].groupby("symbol")
            yahoo.series = {str(symbol): Series(rows) for symbol, rows in known}
            command = [sys.executable, "-m", "benchmarks.daily", "--at", evening[day].isoformat()]
            took = start(home, [*command, *_flags([*settings, *given])], name, yahoo.env())
            print(f"    {yahoo.count('/chart/')} requests for prices and time zones")
            yahoo.reset()
    return took


def start(home: Path, command: list[str], name: str, besides: dict[str, str] | None = None) -> float:
    """One start as a timer makes it; its seconds, processor seconds and lines are printed."""
    environment = {**os.environ, **(besides or {}), "STOCK_HOME": str(home)}
    began, used = time.monotonic(), sum(os.times()[2:4])
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)
    took, used = time.monotonic() - began, sum(os.times()[2:4]) - used
    print(f"{name}: {took:.0f} s, of processors {used:.0f} s, code {done.returncode}")
    for log in sorted((home / "data" / "logs").glob("*.jsonl")):
        for line in map(json.loads, log.read_text(encoding="utf-8").splitlines()):
            if line["from"].startswith("app.daily"):
                print(f"    {line['at'][11:19]} {line['says'][:150]}")
        log.unlink()
    if done.returncode:
        raise SystemExit(f"the start ended with code {done.returncode}: {done.stderr[-300:]}")
    return took


def start_at(moment: pd.Timestamp, settings: list[str]) -> int:
    """What `python -m app daily` does, by a clock that stands at a moment."""
    logging.getLogger("app").setLevel(logging.INFO)
    chosen = load_settings(by_section([f"prices.source={USUAL}", *settings]))
    asked = provider(USUAL, chosen.fetch, chosen.prices.calendar, chosen.data / f"{USUAL}-cache")
    source = dataclasses.replace(asked, now=lambda: moment)
    with locked(chosen.home), logged(chosen.data, {"command": "daily"}):
        done = daily(chosen, Tools(now=lambda: moment, source=lambda _: source))
    return done.failure.exit_code if done.failure else 0


def _flags(settings: list[str]) -> list[str]:
    return [part for setting in settings for part in ("--set", setting)]


if __name__ == "__main__":
    sys.exit(main())
