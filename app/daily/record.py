"""The live record: what the champion said beforehand against what came true."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from app.evaluation.drift import alarms
from app.evaluation.gate import match
from app.evaluation.verdict import RANDOM_WALK
from app.journal import Journal

LOOKED_AT = 60
"""Newest origins with known actuals that the figures are taken from, at each horizon."""

LOW, HIGH = "q0.10", "q0.90"
"""The ends of the central 80 % interval, the one that is shown."""

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


def live_forecasts(journal: Journal, models: Sequence[str] = ()) -> pd.DataFrame:
    """Published forecasts of `CALENDAR_DAYS`, of some models or all, without any made after its target."""
    newest = max(journal.newest_origins().values(), default=None)
    if newest is None:
        return journal.forecasts("9999")
    table = journal.forecasts(str(np.datetime64(newest) - CALENDAR_DAYS), models=models)
    made = table["published_at"].to_numpy().astype("U10").astype("datetime64[D]")
    return table[made <= table["date"].to_numpy()].reset_index(drop=True)


def live_record(table: pd.DataFrame, model: str) -> tuple[list[Line], list[str]]:
    """(figures horizon by horizon, alarms in words) of a model; docs/methods.md has the alarms' bands.

    Args:
        table: as `live_forecasts`, with the rows of the random walk.
        model: the champion's name in the table.
    """
    ours = table[(table["model"] == model) & table["actual"].notna()]
    walk = table[(table["model"] == RANDOM_WALK) & table["actual"].notna()]
    horizons = {int(str(horizon)): rows for horizon, rows in ours.groupby("horizon")}
    both = {horizon: match(rows, walk[walk["horizon"] == horizon]) for horizon, rows in horizons.items()}
    lines = [_line(rows, both[horizon].difference, model, horizon) for horizon, rows in horizons.items()]
    return lines, [alarm.sentence for alarm in alarms(table, model, compared=both)]


def _line(ours: pd.DataFrame, difference: np.ndarray, model: str, horizon: int) -> Line:
    origin, actual = ours["origin"].to_numpy(), ours["actual"].to_numpy()
    days = np.unique(origin)[-LOOKED_AT:]
    held = (ours[LOW].to_numpy() <= actual) & (actual <= ours[HIGH].to_numpy())
    excess = float(difference[-LOOKED_AT:].mean()) if len(difference) and model != RANDOM_WALK else None
    return Line(model, horizon, len(days), float(held[origin >= days[0]].mean()), excess)
