"""A back test and everything concluded from it, by what its target is judged by."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from app.dataset.targets import Target
from app.evaluation import calibration, comparison, metrics, significance
from app.evaluation.backtest import Backtest


@dataclass(frozen=True, eq=False)
class Evidence:
    """forecasts, curves: of the back test; the rest is named after the function that concluded it.

    comparison: `comparison.summary` of the tests symbol by symbol.
    """

    target: Target
    forecasts: pd.DataFrame
    curves: Mapping[str, pd.DataFrame]
    scores: pd.DataFrame
    coverage: pd.DataFrame
    verdicts: list[significance.Verdict]
    calibration: pd.DataFrame
    pit: pd.DataFrame
    comparison: pd.DataFrame
    superiority: pd.DataFrame
    direction: pd.DataFrame


def judge(done: Backtest, target: Target) -> Evidence:
    """Score, test and judge the forecasts of a back test.

    A log volatility has no sign that anybody would guess, so its forecasts are not asked for the direction.
    """
    table = done.forecasts
    signed = table if target.signed else table.iloc[:0]
    return Evidence(
        target=target,
        forecasts=table,
        curves=done.curves,
        scores=metrics.score(table, target.scores),
        coverage=metrics.coverage(table),
        verdicts=significance.verdicts(table, asked=target.questions, signed=target.signed),
        calibration=calibration.calibration(table, by_level=not target.signed),
        pit=calibration.pit(table),
        comparison=comparison.summary(comparison.symbol_tests(table, asked=target.questions)),
        superiority=comparison.superiority(table, metric=target.questions[0][0]),
        direction=comparison.direction(signed),
    )
