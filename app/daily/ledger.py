"""Prices as the daily run sees them: what the ledger knows, without what is unsound."""

import numpy as np
import pandas as pd

from app.config import Settings
from app.daily.due import wanted
from app.errors import DataError
from app.prices.quality import inspect, sound
from app.prices.store import Ledger


def sound_prices(settings: Settings, since: np.datetime64 | None = None) -> pd.DataFrame:
    """The sound rows of the symbols that are wanted; as `inspected_prices`."""
    return inspected_prices(settings, since)[0]


def inspected_prices(settings: Settings, since: np.datetime64 | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(the sound rows of the symbols that are wanted, what was wrong with them).

    Args:
        since: the first date wanted; None is no bound but that of the settings.

    Raises:
        DataError: there is no sound row.
    """
    start = np.datetime64(settings.prices.start, "D") if settings.prices.start else None
    first = max([day for day in (start, since) if day is not None], default=None)
    raw = Ledger(settings.ledger).prices(settings.prices.source, wanted(settings), first)
    issues = inspect(raw, calendar=settings.prices.calendar or None)
    kept = sound(raw, issues)
    if len(kept) == 0:
        raise DataError(
            f"daily: the ledger holds no sound price from {settings.prices.source!r}. `prices check` tells why."
        )
    return kept, issues
