"""A process that asks Yahoo: one JSON request a line on stdin, one JSON answer a line on stdout.

libcurl reads proxy and certificates from the environment when it is loaded, so the client of a loopback
server has to be a process of its own; started once, it serves a whole file of tests. Time passes only when
the client sleeps.
"""

import itertools
import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from app.errors import AppError
from app.prices.adjust import adjusted
from app.prices.patience import Patience
from app.prices.store import Ledger
from app.prices.update import update
from app.prices.yahoo import Yahoo

BEGUN = itertools.count(step=10_000)
"""Seconds of the client's clock at which each request begins: what one has asked is long past for the next."""


def answer(request: dict) -> dict:
    """Do what is asked, a history or an update of a ledger."""
    return update_answer(request) if "ledger" in request else history_answer(request)


def update_answer(request: dict) -> dict:
    """Update a ledger and tell what became of every symbol."""
    slept: list[float] = []
    source = _source(request, slept)
    try:
        patience = Patience(**request["patience"])
        done = update(
            Ledger(request["ledger"]), source, request["symbols"], patience=patience, clock=lambda: sum(slept)
        )
    except AppError as error:
        return {"error": type(error).__name__, "exit_code": error.exit_code, "message": str(error)}
    return {"results": [asdict(one) for one in done], "slept": [pause for pause in slept if pause > 0]}


def _source(request: dict, slept: list[float]) -> Yahoo:
    begun = next(BEGUN)
    return Yahoo(
        cache=Path(request["cache"]) if request["cache"] else None,
        now=lambda: pd.Timestamp(request["now"]),
        clock=lambda: begun + sum(slept),
        sleep=slept.append,
        **request["settings"],
    )


def history_answer(request: dict) -> dict:
    """Ask for one history and tell everything that can be seen from outside."""
    slept: list[float] = []
    days = [None if request[name] is None else np.datetime64(request[name]) for name in ("start", "stop")]
    try:
        table = _source(request, slept).history(request["symbol"], *days)
    except AppError as error:
        line = {"error": type(error).__name__, "exit_code": error.exit_code, "message": str(error)}
        return {**line, "slept": [pause for pause in slept if pause > 0]}
    table["adjusted"] = adjusted(table)["close"]
    types = table.dtypes.astype(str).to_dict()
    rows = table.assign(date=table["date"].dt.strftime("%Y-%m-%d")).to_dict("list")
    return {"rows": rows, "types": types, "slept": [pause for pause in slept if pause > 0]}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
