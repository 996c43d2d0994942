"""The protocol of every forecaster: a recipe is fitted, a fitted model predicts quantiles."""

from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from app.dataset.windows import Windows
from app.schema import FORECAST_COLUMNS, LEVELS, QUANTILES


class Fitted(Protocol):
    """What a recipe becomes by learning."""

    def predict(self, windows: Windows) -> np.ndarray:
        """(n, horizons, levels) quantiles of the target, rising along the last axis.

        A row of the answer depends only on rows of the panel up to that window's origin.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write everything `predict` needs into an existing folder, without pickle."""
        ...


class Recipe(Protocol):
    """Hyperparameters of a forecaster: a frozen dataclass; fitting leaves it as it was."""

    def fit(self, train: Windows, validation: Windows) -> Fitted:
        """Learn from windows whose targets are known; `validation` is later than `train`."""
        ...


def forecasts_table(model: str, windows: Windows, quantiles: np.ndarray) -> pd.DataFrame:
    """Lay predictions out as a forecasts table, one row per (window, horizon).

    Args:
        model: the name in the table's first column.
        windows: (n) the windows forecast.
        quantiles: (n, horizons, levels), in the unit of the target.
    """
    count = len(windows.spec.horizons)
    table = pd.DataFrame(
        {
            "model": pd.array([model] * (len(windows) * count), dtype="str"),
            "symbol": pd.array(np.repeat(windows.symbol, count), dtype="str"),
            "origin": np.repeat(windows.origin, count).astype("datetime64[ns]"),
            "horizon": np.tile(np.array(windows.spec.horizons), len(windows)),
            "date": windows.date.reshape(-1).astype("datetime64[ns]"),
            "origin_close": np.repeat(windows.origin_close, count),
            "actual": windows.actual.reshape(-1),
        }
    )
    flat = np.asarray(quantiles, "float64").reshape(len(table), len(LEVELS))
    return pd.concat([table, pd.DataFrame(flat, columns=list(QUANTILES))], axis=1)[list(FORECAST_COLUMNS)]
