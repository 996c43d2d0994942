"""Many questions at once, as rows: symbol by symbol, model against all models, and whether a direction is known."""

from collections.abc import Sequence

import pandas as pd

from app.evaluation.verdict import ALPHA
from app.report.pricing import base_model

ASKED = {"crps": "CRPS", "mae": "median", "qlike": "QLIKE", "brier": "Brier score", "wrong": "direction"}


def symbol_rows(comparison: pd.DataFrame, model: str | None) -> list[dict]:
    """One row for each question about one model: how many symbols agree with the verdict on their mean."""
    rows = comparison[comparison["model"] == model] if len(comparison) else comparison
    rows = rows.assign(asked=rows["metric"].map(ASKED)) if len(rows) else rows
    return rows.sort_values("horizon", kind="stable").to_dict("records")


def rival_rows(superiority: pd.DataFrame) -> list[dict]:
    """One row for each benchmark and horizon: is it beaten by any of the others, after so many were tried?"""
    return [{**row, "beaten": row["p_value"] < ALPHA} for row in superiority.to_dict("records")]


def direction_rows(direction: pd.DataFrame, shown: Sequence[str | None]) -> list[dict]:
    """One row for each model that takes sides, in order of horizon; of the models shown beside it, too."""
    if direction.empty:
        return []
    chosen = direction[direction["model"].map(base_model).isin(shown) & direction["statistic"].notna()]
    rows = chosen.sort_values("horizon", kind="stable").to_dict("records")
    return [{**row, "knows": row["p_value"] < ALPHA} for row in rows]
