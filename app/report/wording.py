"""How numbers and findings read in a sentence."""

import math
from collections.abc import Sequence

import pandas as pd

from app.report.tables import Question

MINUS, NOTHING, JOINED = "−", "–", "\u00a0"
SPOKEN = {
    "random-walk": "the random walk", "gjr-garch": "GJR-GARCH", "har": "HAR", "har-x": "HAR-X",
    "base-rate": "the base rate", "always-up": "always “up”",
}  # fmt: skip
CLAIMS = {
    "mae": "median beats the last {naive}",
    "crps": "odds beat those of {reference}",
    "brier": "odds of a rise beat {reference}",
    "qlike": "expected variance beats that of {reference}",
    "wrong": "direction beats {reference}",
}


def hundredfold(value: float, decimals: int = 2, signed: bool = False) -> str:
    """A fraction as a number of per cent: 0.0123 reads 1.23."""
    if value is None or math.isnan(value):
        return NOTHING
    text = f"{100 * value:{'+' if signed else ''},.{decimals}f}"
    zero = float(text.replace(",", "")) == 0
    return (text.lstrip("+-") if zero else text).replace("-", MINUS)


def percent(value: float, decimals: int = 2, signed: bool = False) -> str:
    """A fraction in %: 0.0123 reads 1.23 %."""
    text = hundredfold(value, decimals, signed)
    return text if text == NOTHING else f"{text}{JOINED}%"


def price(value: float) -> str:
    """An amount with thousands separators; four decimals below one."""
    return NOTHING if math.isnan(value) else f"{value:,.{2 if abs(value) >= 1 else 4}f}".replace("-", MINUS)


def count(value: float) -> str:
    """A whole number with thousands separators."""
    return NOTHING if math.isnan(value) else f"{value:,.0f}"


def ratio(value: float) -> str:
    """A ratio with three decimals."""
    return NOTHING if math.isnan(value) else f"{value:.3f}"


def one_decimal(value: float) -> str:
    """A number with one decimal."""
    return NOTHING if math.isnan(value) else f"{value:,.1f}"


def chance(value: float) -> str:
    """A probability read off quantiles that end at 5 and 95 %."""
    value = round(value, 9)  # 1 - 0.95 is a little above 0.05
    if value <= 0.05 or value >= 0.95:
        return "≤ 5 %" if value <= 0.05 else "≥ 95 %"
    return f"{100 * value:.0f} %"


def day(value: object) -> str:
    """A date as 2 January 2019."""
    moment = pd.Timestamp(value)
    return NOTHING if pd.isna(moment) else f"{moment.day} {moment:%B %Y}"


def short_day(value: object) -> str:
    """A date as Wed 2 Jan 2019."""
    moment = pd.Timestamp(value)
    return NOTHING if pd.isna(moment) else f"{moment:%a} {moment.day} {moment:%b %Y}"


def moment(made_at: str) -> str:
    """An ISO 8601 time as 2 January 2019, 06:30 UTC."""
    when = pd.Timestamp(made_at)
    when = when.tz_convert("UTC") if when.tzinfo else when
    return f"{day(when)}, {when:%H:%M} UTC"


def listed(items: list, limit: int = 6) -> str:
    """a, b and c; the rest of a long list as a number."""
    words = [str(item) for item in items]
    if len(words) > limit:
        words = [*words[: limit - 1], f"{len(words) - limit + 1} more"]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def subject(forecasts: pd.DataFrame) -> dict:
    """What was forecast: the newest origin, the symbols and the horizons."""
    if forecasts.empty:
        return {"origin": None, "symbols": "", "horizons": ""}
    horizons = sorted(int(horizon) for horizon in forecasts["horizon"].unique())
    return {
        "origin": forecasts["origin"].max(),
        "symbols": listed(list(dict.fromkeys(forecasts["symbol"]))),
        "horizons": f"{listed(horizons)} session{'' if horizons == [1] else 's'}",
    }


def summary(asked: Sequence[Question], model: str | None) -> list[str]:
    """The verdict in one sentence per question: at which horizons the answer is yes, and where it is worse than no."""
    lines = []
    for question in asked:
        found = question.verdicts
        reference = SPOKEN.get(found[0].reference, found[0].reference)
        claim = CLAIMS[found[0].metric].format(naive=question.naive, reference=reference)
        better = [verdict.horizon for verdict in found if verdict.better]
        worse = [verdict.horizon for verdict in found if verdict.worse]
        where = "at every horizon" if len(better) == len(found) > 1 else _at(better)
        marginal = [verdict.horizon for verdict in found if verdict.better and verdict.marginal]
        drift = [verdict.horizon for verdict in found if verdict.drift]
        for horizons, how in ((marginal, "only just"), (drift, "by a drift in one direction")):
            if horizons:
                where += f", {how}" if horizons == better else f", {_at(horizons)} {how}"
        rest = f"; {'they are' if claim.startswith('odds') else 'it is'} worse {_at(worse)}" if worse else ""
        lines.append(f"{model}’s {claim} {where}{rest}.")
    return lines


def _at(horizons: list[int]) -> str:
    if not horizons:
        return "at no horizon"
    return f"at {listed(horizons)} session{'' if horizons == [1] else 's'} ahead"


FILTERS = {
    "hundredfold": hundredfold,
    "percent": percent,
    "price": price,
    "count": count,
    "ratio": ratio,
    "one_decimal": one_decimal,
    "chance": chance,
    "day": day,
    "short_day": short_day,
}
