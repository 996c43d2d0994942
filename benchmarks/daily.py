"""A whole day for two hundred symbols, champion trained on: python -m benchmarks.daily --prices us_daily.parquet

The prices are imported as data, first without the newest session: one start trains from scratch, so that there
is a champion. Then the newest session is imported, and the start that is measured trains that champion on,
compares, forecasts with it, the random walk and GJR-GARCH, and writes the page. Fetching is not in it: at one
request a second Yahoo itself takes 200 s.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from app.home import PROJECT
from app.prices.sources import Files
from app.prices.store import Ledger


def main() -> int:
    """Print the seconds of both starts, stage by stage."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prices", required=True, help="a Parquet or CSV file of daily prices")
    parser.add_argument("--symbols", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=180.0, help="what the measured start may take")
    parser.add_argument("--set", action="append", default=[], help="settings of both starts")
    parser.add_argument("--first", action="append", default=[], help="settings of the first start alone")
    options = parser.parse_args()
    table = Files(Path(options.prices)).table()
    table = table[table["symbol"].isin(sorted(table["symbol"].unique())[: options.symbols])]
    table = table[table["date"] <= table.groupby("symbol")["date"].max().min()]  # the newest session that all have
    home = Path(tempfile.mkdtemp(prefix="daily-"))
    try:
        took = measured(home, table, options.set, options.first)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print(f"{table['symbol'].nunique()} symbols, {len(table)} rows to {table['date'].max():%Y-%m-%d}")
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print("holds" if took <= options.seconds else f"DOES NOT HOLD: {took:.0f} s, allowed are {options.seconds:.0f}")
    return took > options.seconds


def measured(home: Path, table: pd.DataFrame, settings: list[str], first: list[str]) -> float:
    """Seconds of the second start; both are printed."""
    ledger, newest = Ledger(home / "data" / "ledger.sqlite"), table["date"].max()
    ledger.append(table[table["date"] < newest], source="import")
    start(home, [*settings, *first], "from scratch")
    ledger.append(table[table["date"] >= newest - pd.Timedelta(days=14)], source="import")
    return start(home, settings, "champion trained on")


def start(home: Path, settings: list[str], name: str) -> float:
    """One start as a timer makes it; its seconds, processor seconds and lines are printed."""
    command = [sys.executable, "-m", "app", "daily", "--source", "import", "--json"]
    for setting in settings:
        command += ["--set", setting]
    began, used = time.monotonic(), sum(os.times()[2:4])
    done = subprocess.run(
        command, cwd=PROJECT, env={**os.environ, "STOCK_HOME": str(home)}, capture_output=True, text=True
    )
    took, used = time.monotonic() - began, sum(os.times()[2:4]) - used
    print(f"{name}: {took:.0f} s, of processors {used:.0f} s, code {done.returncode} ")
    for log in sorted((home / "data" / "logs").glob("*.jsonl")):
        for line in map(json.loads, log.read_text(encoding="utf-8").splitlines()):
            if line["from"].startswith("app.daily"):
                print(f"    {line['at'][11:19]} {line['says'][:150]}")
        log.unlink()
    if done.returncode:
        raise SystemExit(f"the start ended with code {done.returncode}")
    return took


if __name__ == "__main__":
    sys.exit(main())
