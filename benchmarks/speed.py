"""Speed as ratios measured in one run, with processor time, on 20 copies of the embedded sample.

    python -m benchmarks.speed

Prints a Markdown table: what starting the command line costs against starting Python, what one
target costs with every-step supervision against many-to-one, and what windows by index take in
memory against copies of them.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd

from app.dataset import make_windows
from app.dataset.windows import Windows, WindowSpec
from app.forecasters.recipe import Network
from app.prices.sources import Sample

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 5
SHOW = ("-m", "app", "prices", "show", "--source", "sample", "--quiet")
EPOCHS = (1, 4)
"""The first epochs pay for compilation; what the others cost is the rate."""


def child_seconds(*arguments: str) -> float:
    """Processor seconds of one Python process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of a call in this process."""
    before = time.process_time()
    work()
    return time.process_time() - before


def start_rows() -> list[tuple[str, str]]:
    """The command line's start, in pairs with a bare Python and with importing Keras."""
    pairs = [(child_seconds("-m", "app", "--help"), child_seconds("-c", "pass")) for _ in range(ROUNDS)]
    keras = child_seconds("-c", "import keras")
    shown = [(child_seconds(*SHOW), child_seconds("-c", "pass")) for _ in range(ROUNDS)]
    help_seconds = median(pair[0] for pair in pairs)
    return [
        ("`python -m app --help`: processor seconds", f"{help_seconds:.2f}"),
        ("… over a bare `python -c pass`", f"{median(a / b for a, b in pairs):.1f} times"),
        ("importing Keras over `--help`", f"{keras / help_seconds:.0f} times"),
        ("`prices show --source sample` over a bare `python -c pass`", f"{median(a / b for a, b in shown):.0f} times"),
    ]


def training_rows(windows: Windows) -> list[tuple[str, str]]:
    """Targets per processor second, every-step supervision against many-to-one, start-up left out."""
    known = windows.known_by(windows.origin.max())
    train = known.known_by(np.datetime64("2017-12-31"))
    validation = known.originating(np.datetime64("2018-01-01"), windows.origin.max())
    rates = {}
    for name, recipe in (
        ("every-step", Network(updates=500, steps=32, batch=16, patience=999)),
        ("many-to-one", Network(updates=500, steps=1, batch=512, patience=999)),
    ):
        first, second = (seconds(partial(replace(recipe, epochs=count).fit, train, validation)) for count in EPOCHS)
        rates[name] = (EPOCHS[1] - EPOCHS[0]) * len(train) * len(windows.spec.horizons) / (second - first)
    ratio = rates["every-step"] / rates["many-to-one"]
    return [("targets per processor second, every-step (32 steps) over many-to-one", f"{ratio:.1f} times")]


def memory_rows(windows: Windows) -> list[tuple[str, str]]:
    """Bytes of the panel and its windows by index, against copies of every window."""
    index = windows.panel.features.nbytes + windows.ends.nbytes
    copies = windows.gather().nbytes
    return [("memory of copied windows over windows by index", f"{copies / index:.0f} times")]


def main() -> None:
    """Measure and print."""
    history = Sample().history("^GSPC")
    copies = [history.assign(symbol=f"COPY{number}") for number in range(20)]
    windows = make_windows(pd.concat(copies, ignore_index=True), WindowSpec())
    rows = [*start_rows(), *training_rows(windows), *memory_rows(windows)]
    print("| what | measured |\n|---|---|")
    for what, measured in rows:
        print(f"| {what} | {measured} |")


if __name__ == "__main__":
    main()
