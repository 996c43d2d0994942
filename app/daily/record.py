"""The live record: what the champion said beforehand against what came true."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from app.evaluation.drift import Record, alarms
from app.evaluation.verdict import RANDOM_WALK
from app.journal import Journal

LOOKED_AT = 60
"""Newest origins with known actuals that the figures are taken from, at each horizon."""

SHOWN = 0.8
"""The central interval whose coverage is shown."""

CALENDAR_DAYS = 400
"""Days before the newest origin in which the record that is read begins."""


@dataclass(frozen=True)
class Line:
    """The record of the champion at one horizon, in sessions.

    coverage: share of actuals inside the central 80 % interval. excess: how much higher its CRPS is than the
    random walk's, in units of the random walk's mean over the whole record, on rows both forecast; None where there
    are none.
    """

    model: str
    horizon: int
    days: int
    coverage: float
    excess: float | None


def live_record(journal: Journal, model: str, newest: str) -> tuple[list[Line], list[str]]:
    """(figures horizon by horizon, alarms in words) of a model over `CALENDAR_DAYS`; bands: docs/methods.md.

    Args:
        model: the champion's name among the forecasts. newest: the newest origin of any forecast, ISO date.
    """
    record = journal.record(model, _begin(newest))
    lines = [_line(rows, horizon) for horizon, rows in record.horizons.items()]
    return lines, [alarm.sentence for alarm in alarms(record)]


def live_forecasts(journal: Journal) -> pd.DataFrame:
    """Published forecasts of `CALENDAR_DAYS`, without any made after its target."""
    table = journal.forecasts(_begin(max(journal.newest_origins().values(), default="")))
    made = table["published_at"].to_numpy().astype("U10").astype("datetime64[D]")
    return table[made <= table["date"].to_numpy()].reset_index(drop=True)


def _begin(newest: str) -> str:
    """The first origin of the record that is read, ISO date; before the first forecast there is none."""
    return str(np.datetime64(newest) - CALENDAR_DAYS) if newest else ""


def _line(record: Record, horizon: int) -> Line:
    recent = record.newest(LOOKED_AT)
    told = len(record.excess) and record.model != RANDOM_WALK
    excess = float(record.excess[-LOOKED_AT:].mean()) if told else None
    return Line(record.model, horizon, len(recent.days[0]), float(recent.held(SHOWN).mean()), excess)
