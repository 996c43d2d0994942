"""A verdict on two models: the numbers, and one sentence that never says more than they do."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np

ALPHA = 0.05
MIN_SPANS = 8
"""How many horizons the days of a verdict must span. Measured on overlapping sums without any
difference: the test at 5 % rejects 9 % with 8 spans, but 14 to 23 % with 4 or fewer."""

ONE_SIDED = 0.99
"""Share of medians on one side of 0 from which on they count as one: they tell no day from another."""

RANDOM_WALK = "random-walk"
_SPOKEN = {RANDOM_WALK: "the random walk", "base-rate": "the base rate"}
_METRICS = {
    "crps": "CRPS", "mae": "MAE", "rmse": "MSE",
    "qlike": "QLIKE", "brier": "Brier score", "wrong": "share of wrong signs",
}  # fmt: skip
_PART = {"mae": "median", "rmse": "median", "wrong": "direction"}
"""What of a forecast a metric judges, where it is not the whole."""


@dataclass(frozen=True)
class Verdict:
    """What the forecasts say about a model against a reference at one horizon.

    The test decides (`p_value`); the interval is there to show the size of the difference. They
    are computed in different ways and may disagree close to the border (`marginal`).
    """

    model: str
    reference: str
    horizon: int
    metric: str
    """"crps", "qlike" or "brier" of the whole forecast; "mae" or "rmse" (its squared error) of the median; "wrong", the
    share of wrong signs (`metrics.losses`)."""
    difference: float
    """Mean loss of the model over that of the reference, less 1: negative is better."""
    low: float
    high: float
    """95 % interval of `difference`; NaN, like `statistic`, where no test is possible."""
    statistic: float
    p_value: float
    days: int
    symbols: int
    up: float | None = None
    """Share of the model's medians above 0, where they are judged; None where they are not."""

    @property
    def drift(self) -> str:
        """The direction, "up" or "down", that a better median always says (`ONE_SIDED`): it knows a drift; else ""."""
        if self.up is None or not self.better:
            return ""
        return "up" if self.up >= ONE_SIDED else "down" if self.up <= 1 - ONE_SIDED else ""

    @property
    def better(self) -> bool:
        """The model's loss is lower, and significantly so."""
        return bool(self.difference < 0 and self.p_value < ALPHA)

    @property
    def worse(self) -> bool:
        """The model's loss is higher, and significantly so."""
        return bool(self.difference > 0 and self.p_value < ALPHA)

    @property
    def marginal(self) -> bool:
        """The test finds a difference and the interval leaves room for none, or the reverse."""
        return bool((self.low <= 0 <= self.high) if self.p_value < ALPHA else (self.high < 0 or self.low > 0))

    @property
    def sentence(self) -> str:
        """The verdict in words, with the numbers it rests on."""
        evidence = _evidence(self) if np.isfinite(self.statistic) else _no_evidence(self)
        return f"{_claim(self)} at h = {self.horizon}: {evidence}{_aside(self)}"


def to_json(found: Iterable[Verdict]) -> dict:
    """{"verdicts": [...]}: fields, better, worse and sentence of each in plain Python types, NaN as None."""
    rows = []
    for one in found:
        plain = {name: getattr(value, "item", lambda value=value: value)() for name, value in asdict(one).items()}
        plain = {name: None if value != value else value for name, value in plain.items()}
        rows.append({**plain, "better": one.better, "worse": one.worse, "sentence": one.sentence})
    return {"verdicts": rows}


def _claim(verdict: Verdict) -> str:
    """What the test allows to say, and of which part of the forecast."""
    model, reference = (_SPOKEN.get(name, name) for name in (verdict.model, verdict.reference))
    whole = verdict.metric not in _PART
    if not whole:
        model, reference = f"{model}'s {_PART[verdict.metric]}", f"{reference}'s"
    if not np.isfinite(verdict.statistic):
        return f"no: {model} cannot be told apart from {reference}"
    if verdict.better:
        return f"{model} beats {reference}"
    if verdict.worse:
        return f"no: {model} is worse than {reference}" if whole else f"{model} is worse than {reference}"
    return f"no: {model} does not beat {reference}" if whole else f"{model} is no better than {reference}"


def _evidence(verdict: Verdict) -> str:
    """Difference, interval, p-value and sample, rounded so that they never belie the claim."""
    sign, size = (1, "higher") if verdict.difference > 0 else (-1, "lower")
    decimals = 1
    while verdict.p_value < ALPHA and decimals < 6 and not round(100 * verdict.difference, decimals):
        decimals += 1
    low, high = sorted((sign * verdict.low, sign * verdict.high))
    shown = [f"{round(100 * value, decimals) + 0.0:.{decimals}f}" for value in (abs(verdict.difference), low, high)]
    metric = _METRICS[verdict.metric]
    return (
        f"{metric} {shown[0]} % {size}, 95 % interval {shown[1]} to {shown[2]} %, "
        f"{_p_value(verdict.p_value)}, {_sample(verdict)}"
    )


def _no_evidence(verdict: Verdict) -> str:
    """Why no test was possible."""
    metric, needed = _METRICS[verdict.metric], MIN_SPANS * verdict.horizon
    if not verdict.days:
        return "no day in common on which the actual is known"
    if np.isnan(verdict.difference):
        return f"{metric} of the reference is 0, {_sample(verdict)}"
    if verdict.days < needed:
        size = f"{abs(100 * verdict.difference):.1f} % {'higher' if verdict.difference > 0 else 'lower'}"
        return f"{metric} {size}, but {needed} days are needed to tell, {_sample(verdict)}"
    same = "differs by the same amount" if verdict.difference else "is the same"
    return f"{metric} {same} each day, {_sample(verdict)}"


def _aside(verdict: Verdict) -> str:
    """What keeps a border case from being taken for a clear one, and a drift for foresight."""
    asides = []
    if verdict.marginal:
        asides.append("; at the margin: test and interval disagree")
    if verdict.drift:
        asides.append(f"; by a drift: {100 * ONE_SIDED:.0f} % or more of its medians say {verdict.drift}")
    return "".join(asides)


def _sample(verdict: Verdict) -> str:
    counts = ((verdict.days, "day"), (verdict.symbols, "symbol"))
    return ", ".join(f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts)


def _p_value(p: float) -> str:
    """Two digits from 0.1, three below; never rounded across the border at which the test decides."""
    if p < 0.001:
        return "p < 0.001"
    if p < ALPHA <= round(p, 3):
        return f"p < {ALPHA}"
    return f"p = {p:.2f}" if p >= 0.1 else f"p = {p:.3f}"
