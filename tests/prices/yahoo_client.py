"""A process that asks Yahoo: one JSON request a line on stdin, one JSON answer a line on stdout.

libcurl reads proxy and certificates from the environment when it is loaded, so the client of a loopback
server has to be a process of its own; started once, it serves a whole file of tests. Time passes only when
the client sleeps.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from app.errors import AppError
from app.prices.adjust import adjusted
from app.prices.yahoo import Yahoo


def answer(request: dict) -> dict:
    """Ask for one history and tell everything that can be seen from outside."""
    slept: list[float] = []
    days = [None if request[name] is None else np.datetime64(request[name]) for name in ("start", "stop")]
    try:
        source = Yahoo(
            cache=Path(request["cache"]) if request["cache"] else None,
            now=lambda: pd.Timestamp(request["now"]),
            clock=lambda: sum(slept),
            sleep=slept.append,
            **request["settings"],
        )
        table = source.history(request["symbol"], *days)
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
