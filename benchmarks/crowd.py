"""Eight starts of the daily run at the same moment, fifty times: python -m benchmarks.crowd

One has to work and seven have to leave with code 5 in under a second. Each is the real command line in an
interpreter of its own, with a session to forecast; what the losers are timed for includes Python's start.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from app.home import PROJECT
from app.prices.calendar import sessions
from app.prices.store import Ledger

COMMAND = [
    *(sys.executable, "-m", "app", "daily", "--source", "import", "--quiet"),
    *("--set", "daily.model=ewma", "--set", "daily.baselines=random-walk", "--set", "daily.report=false"),
    *("--set", "window.lookback=20", "--set", "window.horizons=1", "--set", "daily.held_out=40"),
]


def main() -> int:
    """Print how the rounds ended."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--starts", type=int, default=8)
    options = parser.parse_args()
    rounds: Counter = Counter()
    left: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "ledger.sqlite"
        Ledger(ledger).append(prices(), source="import")
        for number in range(options.rounds):
            home = Path(folder) / str(number)
            (home / "data").mkdir(parents=True)
            shutil.copy(ledger, home / "data")
            codes, seconds = meet(home, options.starts)
            rounds[tuple(sorted(Counter(codes).items()))] += 1
            left += seconds
            shutil.rmtree(home)
    for ended, count in rounds.items():
        print(f"{count} rounds: {', '.join(f'{number} ended with code {code}' for code, number in ended)}")
    print(
        f"losers left after: median {statistics.median(left):.2f} s, slowest {max(left):.2f} s, Python's start included"
    )
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    holds = set(rounds) == {((0, 1), (5, options.starts - 1))} and max(left) < 1.0
    print("holds" if holds else "DOES NOT HOLD")
    return not holds


def prices(count: int = 400) -> pd.DataFrame:
    """Two symbols that walk at random."""
    days = sessions("XNYS", np.datetime64("2023-01-03"), np.datetime64("2025-12-31"))[:count]
    draw = np.random.default_rng(0)
    close = {name: 100 * np.exp(np.cumsum(0.01 * draw.standard_normal(count))) for name in ("AAA", "BBB")}
    bars = [pd.DataFrame({"symbol": name, "date": days, "close": values}) for name, values in close.items()]
    table = pd.concat(bars, ignore_index=True)
    return table.assign(open=table["close"], high=table["close"] * 1.01, low=table["close"] * 0.99, volume=1e6)


def meet(home: Path, starts: int) -> tuple[list[int], list[float]]:
    """Exit codes of starts at the same moment, and the seconds after which each loser had left."""
    environment = {**os.environ, "STOCK_HOME": str(home)}
    began = time.monotonic()
    running = [
        subprocess.Popen(COMMAND, cwd=PROJECT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(starts)
    ]
    took: dict[int, float] = {}
    while len(took) < starts:
        took |= {
            place: time.monotonic() - began
            for place, one in enumerate(running)
            if one.poll() is not None and place not in took
        }
        time.sleep(0.005)
    return [one.returncode for one in running], [
        took[place] for place, one in enumerate(running) if one.returncode == 5
    ]


if __name__ == "__main__":
    sys.exit(main())
