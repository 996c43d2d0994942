"""The live record: what the champion said beforehand against what came true, and the alarms it raises."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from app.evaluation.gate import chance, match
from app.evaluation.metrics import coverage
from app.evaluation.verdict import RANDOM_WALK
from app.journal import Journal

LOOKED_AT = 60
"""Newest origins with known actuals that alarms are taken from, at each horizon."""

LEAST = 40
"""Fewer sessions than these raise no alarm."""

NOMINAL = 0.8
"""The central interval that is watched."""

BAND = 1.75
"""How many half-widths of the 95 % band the coverage may be off: a band of 99.9 %, as it is looked at every day."""

WORSE = 0.01
"""Largest one-sided p-value at which the champion counts as worse than the random walk."""

CALENDAR_DAYS = 250
"""Days before the newest origin in which the sessions looked at lie."""


@dataclass(frozen=True)
class Line:
    """The record of the champion at one horizon, in sessions; alarm: what is wrong with it, or "".

    coverage: share of actuals inside the central 80 % interval. excess: its CRPS relative to the random
    walk's, less 1, on rows both forecast; None where there are none.
    """

    model: str
    horizon: int
    days: int
    coverage: float
    excess: float | None
    alarm: str = ""


def live_forecasts(journal: Journal, days: int = CALENDAR_DAYS) -> pd.DataFrame:
    """Published forecasts of the last days, without those made when their target had passed already."""
    newest = max(journal.newest_origins().values(), default=None)
    if newest is None:
        return journal.forecasts("9999")
    table = journal.forecasts(str(np.datetime64(newest) - days))
    made = pd.to_datetime(table["published_at"]).dt.tz_convert(None).dt.normalize()
    return table[made <= table["date"]].reset_index(drop=True)


def live_record(table: pd.DataFrame, model: str) -> list[Line]:
    """The record of a model, horizon by horizon, and the alarms.

    Args:
        table: as `live_forecasts`, with the rows of the random walk.
        model: the champion's name in the table.
    """
    known = table[table["actual"].notna()]
    return [line for horizon, rows in known.groupby("horizon") for line in _line(rows, model, int(str(horizon)))]


def _line(rows: pd.DataFrame, model: str, horizon: int) -> Iterator[Line]:
    ours = rows[rows["model"] == model]
    if len(ours) == 0:
        return
    since = np.unique(ours["origin"])[-LOOKED_AT:][0]
    ours, naive = ours[ours["origin"] >= since], rows[(rows["model"] == RANDOM_WALK) & (rows["origin"] >= since)]
    reached = coverage(ours)
    row = reached[np.isclose(reached["nominal"], NOMINAL)].iloc[0]
    alarms, excess = list(_off_promise(row)), None
    if len(naive) and model != RANDOM_WALK:
        found = match(ours, naive)
        excess = float(found.difference.mean()) if len(found.difference) else None
        if len(found.difference) >= LEAST and chance(-found.difference, horizon) < WORSE:
            alarms.append(f"its CRPS is {100 * found.difference.mean():.1f} % higher than the random walk's")
    told = f"{model}, {horizon} ahead, {row.days} sessions: {'; '.join(alarms)}" if alarms else ""
    yield Line(model, horizon, int(row.days), float(row.reached), excess, told)


def _off_promise(row: pd.Series) -> Iterator[str]:
    """Coverage outside its band."""
    half = (row.high - row.low) / 2
    if row.days >= LEAST and np.isfinite(half) and abs(row.reached - NOMINAL) > BAND * half:
        yield f"its 80 % interval held {row.reached:.0%}"
