"""What a command answers, for a person and for a program."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from app.errors import AppError


@dataclass(frozen=True)
class Answer:
    """result: plain values for --json; text: for a person; stale: why it must not be taken for fresh; refused:
    why it must not be trusted at all; failure: what went wrong on the way, though there is an answer."""

    result: Any
    text: str
    stale: str | None = None
    refused: str | None = None
    failure: AppError | None = None


def records(table: pd.DataFrame) -> list[dict]:
    """Rows as plain values: dates as ISO text, NaN as None."""
    shown = table.copy()
    for name in shown.columns[[kind.kind == "M" for kind in shown.dtypes]]:
        shown[name] = shown[name].dt.strftime("%Y-%m-%d")
    return [{key: plain(value) for key, value in row.items()} for row in shown.to_dict("records")]


def plain(value: Any) -> Any:
    """A value as JSON knows it; what is not finite becomes None."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def text(table: pd.DataFrame) -> str:
    """A table to be read by a person."""
    return table.to_string(index=False, max_rows=200)
