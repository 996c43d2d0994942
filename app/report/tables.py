"""Findings as rows of words and numbers, ready to be laid out."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from app.evaluation.significance import Verdict
from app.prices.calendar import sessions_a_year
from app.report.pricing import BESIDE, SHOWN, chance_of_rise, priced
from app.schema import MEDIAN

SCORE_COLUMNS = (
    ("brier", "Brier score", 3),
    ("log_loss", "Log loss", 3),
    ("accuracy", "Likelier came", 1),
    ("auc", "AUC", 1),
    ("rises", "Rises", 1),
    ("crps", "CRPS", 3),
    ("pinball", "Pinball", 3),
    ("qlike", "QLIKE", 3),
    ("mae", "MAE", 3),
    ("rmse", "RMSE", 3),
    ("direction", "Direction right", 1),
    ("coverage_50", "In 50 % band", 1),
    ("coverage_80", "In 80 % band", 1),
    ("coverage_90", "In 90 % band", 1),
    ("width_80", "Width of 80 % band", 3),
)
"""Column of the scores, its heading, and the decimals with which it is shown in %."""

LOWER_IS_BETTER = ("brier", "log_loss", "crps", "pinball", "qlike", "mae", "rmse")
NEITHER = ("rises", "width_80")
PRICE_COLUMNS = tuple(zip(SHOWN, ("5 %", "25 %", "Median", "75 %", "95 %"), strict=True))
QUESTIONS = (
    ("crps", "random-walk", "Are its odds better than the random walk’s?"),
    ("crps", "gjr-garch", "Are its odds better than GJR-GARCH’s?"),
    ("crps", "har", "Are its odds better than HAR’s?"),
    ("qlike", "har", "Is its expected variance better than HAR’s?"),
    ("brier", "base-rate", "Are its odds of a rise better than how often prices rose before?"),
    ("wrong", "always-up", "Is it right more often than always saying “up”?"),
    ("mae", "random-walk", "Is its median nearer to what happened than the last {naive}?"),
)
NAIVE = {True: "close", False: "volatility"}
"""What stands still in the naive forecast, by whether the target has a sign."""


@dataclass(frozen=True)
class Question:
    """What a reader asks about one model, and its verdicts in order of horizon."""

    text: str
    verdicts: tuple[Verdict, ...]
    naive: str = "close"


def questions(verdicts: Sequence[Verdict], model: str | None, signed: bool = True) -> list[Question]:
    """The questions about one model that the verdicts can answer."""
    asked = []
    for metric, reference, text in QUESTIONS:
        wanted = (model, metric, reference)
        found = [verdict for verdict in verdicts if (verdict.model, verdict.metric, verdict.reference) == wanted]
        if found:
            naive = NAIVE[signed]
            ordered = tuple(sorted(found, key=lambda verdict: verdict.horizon))
            asked.append(Question(text.format(naive=naive), ordered, naive))
    return asked


def other_verdicts(verdicts: Sequence[Verdict], shown: list[Question]) -> list[Verdict]:
    """The verdicts that none of the questions shows."""
    seen = {id(verdict) for question in shown for verdict in question.verdicts}
    return [verdict for verdict in verdicts if id(verdict) not in seen]


def skill_ratios(scores: pd.DataFrame, verdicts: Sequence[Verdict], reference: str | None) -> pd.DataFrame:
    """CRPS of every other model as a multiple of the reference's, by horizon.

    Returns:
        Columns model, horizon, ratio, low, high. The interval comes from the verdict against the
        reference and is NaN where there is none.
    """
    base = scores[scores["model"] == reference].set_index("horizon")["crps"]
    rows = scores[(scores["model"] != reference) & scores["horizon"].isin(base.index)]
    table = rows[["model", "horizon"]].assign(ratio=rows["crps"] / rows["horizon"].map(base), low=np.nan, high=np.nan)
    for verdict in verdicts:
        if (verdict.metric, verdict.reference) == ("crps", reference) and np.isfinite(verdict.difference):
            chosen = (table["model"] == verdict.model) & (table["horizon"] == verdict.horizon)
            table.loc[chosen, ["ratio", "low", "high"]] = 1 + np.array([verdict.difference, verdict.low, verdict.high])
    return table.reset_index(drop=True)


def score_groups(scores: pd.DataFrame, beside: Sequence[str] = BESIDE, loss: str = "crps") -> list[dict]:
    """One group per horizon: its rows, the models beside every number first, and the best of each column.

    Args:
        beside: those models. loss: the column that is shown as a multiple of theirs.
    """
    groups = []
    for horizon, part in scores.groupby("horizon"):
        ordered = [m for m in beside if m in set(part["model"])]
        ordered += [m for m in part["model"] if m not in ordered]
        rows = part.set_index("model").loc[ordered]
        relative = {m: rows[loss] / rows[loss][m] for m in beside if m in ordered}
        groups.append(
            {
                "horizon": int(horizon),
                "rows": [{"model": m, "reference": m in beside, **rows.loc[m].to_dict()} for m in ordered],
                "relative": {m: ratio.to_dict() for m, ratio in relative.items()},
                "best": {name: _best(rows, name) for name, _, _ in SCORE_COLUMNS if name in rows},
                "days": int(rows["days"].max()),
                "symbols": int(rows["symbols"].max()),
                "n": int(rows["n"].max()),
            }
        )
    return groups


def _best(rows: pd.DataFrame, name: str) -> set[str]:
    """The models that no other beats in a column; none where narrower or wider is not better or worse."""
    if name in NEITHER:
        return set()
    values = rows[name]
    if name.startswith("coverage_"):
        values = (values - int(name.removeprefix("coverage_")) / 100).abs()
    elif name not in LOWER_IS_BETTER:
        values = -values
    return set(values.index[values == values.min()])


def calibration_groups(calibration: pd.DataFrame, model: str | None) -> list[dict]:
    """One group per horizon: coverage of one model by volatility, and of the models beside it at 90 %.

    A cell is off when its band does not hold what was promised.
    """
    beside = [name for name in BESIDE if name != model and name in set(calibration["model"])]
    table = calibration.assign(
        off=(calibration["low"] > calibration["nominal"]) | (calibration["high"] < calibration["nominal"])
    )
    groups = []
    for horizon, part in table[table["model"] == model].groupby("horizon"):
        rows = []
        for volatility, own in part.groupby("volatility", sort=False):
            alike = table[
                (table["horizon"] == horizon) & (table["volatility"] == volatility) & (table["nominal"] == 0.9)
            ]
            others = alike[alike["model"].isin(beside)].set_index("model").to_dict("index")
            cells = own.sort_values("nominal").to_dict("records")
            rows.append({"volatility": volatility, "cells": cells, "others": [others.get(name) for name in beside]})
        groups.append({"horizon": int(horizon), "rows": rows, "beside": beside})
    return groups


def newest_rows(live: pd.DataFrame, prices: pd.DataFrame) -> list[dict]:
    """One entry per model and symbol: its last close, and for each horizon the prices and the chance of a rise."""
    table = priced(live, prices).assign(chance=chance_of_rise(live), move=live[MEDIAN])
    newest = live["origin"].max()
    entries = []
    for (model, symbol), part in table.groupby(["model", "symbol"], sort=False):
        origin = part["origin"].max()
        rows = part[part["origin"] == origin].sort_values("horizon").to_dict("records")
        last = {"origin": origin, "close": rows[0]["origin_close"], "older": origin < newest}
        entries.append({"model": model, "symbol": symbol, **last, "rows": rows})
    return entries


def volatility_rows(live: pd.DataFrame) -> list[dict]:
    """As `newest_rows`, of forecasts of a log volatility: volatilities per session, and the median's a year."""
    table = live.assign(**{name: np.exp(live[name].astype("float64")) for name in SHOWN})
    table = table.assign(yearly=table[MEDIAN] * np.sqrt(table["symbol"].map(sessions_a_year)))
    newest = live["origin"].max()
    entries = []
    for (model, symbol), part in table.groupby(["model", "symbol"], sort=False):
        origin = part["origin"].max()
        rows = part[part["origin"] == origin].sort_values("horizon").to_dict("records")
        entries.append({"model": model, "symbol": symbol, "origin": origin, "older": origin < newest, "rows": rows})
    return entries


def issue_counts(issues: pd.DataFrame) -> list[dict]:
    """How often each rule was broken, and in how many symbols, errors first."""
    groups = issues.groupby(["severity", "rule"])
    counts = groups.agg(rows=("rule", "size"), symbols=("symbol", "nunique")).reset_index()
    return counts.sort_values(["severity", "rows"], ascending=[True, False]).to_dict("records")


def flattened(settings: dict, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(dotted name, value in words) of every setting, secrets hidden and folders shortened."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{prefix}{name}.")
        elif re.search(r"(?i)secret|token|password|passwd|api_?key|credential", str(name)) and value:
            yield f"{prefix}{name}", "(hidden)"
        else:
            yield f"{prefix}{name}", _in_words(value)


def _in_words(value: object) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple, set)):
        return ", ".join(_in_words(item) for item in value) or "–"
    text = without_home(str(value))
    return re.sub(r"^(?:[A-Za-z]:|\\)?[\\/](?:.*[\\/])?(?=[^\\/])", "…/", text)


def without_home(text: str) -> str:
    """Text in which the path of the user's home folder reads ~."""
    home = str(Path.home())
    return re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text) if len(home) > 3 else text
