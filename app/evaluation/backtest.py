"""Walk-forward back test: refit at each fold's cutoff, on nothing but what was known by then."""

import datetime as dt
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from app.allowed import check_ranges
from app.dataset.windows import Windows
from app.errors import DataError, SettingsError
from app.evaluation.conformal import conformal
from app.forecasters import GUESSES
from app.forecasters.base import Recipe, forecasts_table
from app.schema import QUANTILES, check_forecasts

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """When the test period begins and ends, how often models are refitted, what they are validated on.

    test_start, test_stop: first and last origin tested, as ISO dates; empty means the last `folds`
    refits of the data. refit: sessions from one refit to the next. validation: newest sessions of
    each training period that are kept for validation. conformal: every model also corrected by its own past
    (`conformal.conformal`), as rows of its own.
    """

    test_start: str = ""
    test_stop: str = ""
    refit: int = 252
    folds: int = 4
    validation: int = 252
    conformal: bool = False

    __pydantic_config__ = {"extra": "forbid"}

    def __post_init__(self) -> None:
        check_ranges("backtest", self, dict.fromkeys(("refit", "folds", "validation"), (1, 100_000)))
        check_days("backtest", {name: getattr(self, name) for name in ("test_start", "test_stop")})


@dataclass(frozen=True, eq=False)
class Fold:
    """One refit: the targets of `train` end before `validation` begins, and those of both by `cutoff`."""

    number: int
    cutoff: np.datetime64
    train: Windows
    validation: Windows
    test: Windows


@dataclass(frozen=True, eq=False)
class Backtest:
    """The forecasts of every model for every fold, and the training curves of the networks."""

    forecasts: pd.DataFrame
    curves: Mapping[str, pd.DataFrame]


def backtest(windows: Windows, recipes: Mapping[str, Recipe], plan: Plan) -> Backtest:
    """Fit every recipe at every fold's cutoff and forecast the fold's windows: the same rows for every model.

    Args:
        windows: all windows, those with unknown targets included.
        recipes: name → recipe; the name is the `model` of the table.
        plan: the folds.

    Raises:
        DataError: there is too little history before or after the start of the test.
    """
    tables, curves = [], {}
    every = list(folds(windows, plan))
    for fold in every:
        span = f"fold {fold.number} of {len(every)} ({fold.test.origin.min()} to {fold.test.origin.max()})"
        for name, recipe in recipes.items():
            log.info("%s: %s, %d windows known by %s", span, name, len(fold.train) + len(fold.validation), fold.cutoff)
            fitted = recipe.fit(fold.train, fold.validation)
            table = forecasts_table(name, fold.test, fitted.predict(fold.test))
            tables.append(check_forecasts(table.astype(dict.fromkeys(QUANTILES, "float32"))))
            if hasattr(fitted, "curve"):
                curves[f"{name}, fold {fold.number}"] = fitted.curve
    correctable = [table for table in tables if table["model"].iloc[0] not in GUESSES]
    if plan.conformal and correctable:
        tables.append(conformal(pd.concat(correctable)))
    return Backtest(pd.concat(tables, ignore_index=True), curves)


def folds(windows: Windows, plan: Plan) -> Iterator[Fold]:
    """The folds of a plan in time order.

    The cutoff is the session before the first origin tested. Only windows whose whole target was
    known by the cutoff are learnt from (purge). Validation are those of the newest
    `plan.validation` sessions; a window of `train` has its whole target before the first origin of
    `validation`, which leaves an embargo of one horizon between them.
    """
    sessions = np.unique(windows.origin)
    first, last = _test_range(sessions, plan)
    for number, begin in enumerate(range(first, last, plan.refit), start=1):
        cutoff = sessions[begin - 1]
        end = min(begin + plan.refit, last)
        stop = sessions[end] if end < len(sessions) else sessions[-1] + 1
        train, validation = split(windows.known_by(cutoff), plan.validation)
        yield Fold(number, cutoff, train, validation, windows.originating(sessions[begin], stop))


def split(known: Windows, validation: int) -> tuple[Windows, Windows]:
    """Cut the newest `validation` sessions off windows whose targets are known, with the embargo.

    Raises:
        DataError: too little is left to train on.
    """
    sessions = np.unique(known.origin)
    if len(sessions) >= 10:
        start = sessions[-min(validation, len(sessions) // 4)]
        train = known.known_by(start - 1)
        if len(train):
            return train, known.originating(start, sessions[-1] + 1)
    raise DataError(
        f"training: {len(sessions)} sessions with known targets before the test are too few to train and validate on. "
        "Fetch more history, set a later --test-start, or shorten --lookback or --horizons."
    )


def _test_range(sessions: np.ndarray, plan: Plan) -> tuple[int, int]:
    """Positions of the first origin tested and of the one after the last."""
    last = len(sessions)
    if plan.test_stop:
        last = int(np.searchsorted(sessions, np.datetime64(plan.test_stop, "D"), "right"))
    first = max(last - plan.folds * plan.refit, last - len(sessions) // 3, 1)
    if plan.test_start:
        first = int(np.searchsorted(sessions, np.datetime64(plan.test_start, "D")))
    if not 0 < first < last:
        asked = f"backtest.test_start {plan.test_start or 'by default'} to test_stop {plan.test_stop or sessions[-1]}"
        raise DataError(
            f"{asked} holds no origin with history before it; windows originate from {sessions[0]} to {sessions[-1]}. "
            "Choose --test-start between them."
        )
    return first, last


def check_days(section: str, span: Mapping[str, str]) -> None:
    """Refuse a first and a last day that are not ISO dates, or that are in the wrong order; "" is no bound.

    Args:
        span: the two settings by name, the first day first.

    Raises:
        SettingsError: naming the setting.
    """
    for name, text in span.items():
        if text and not _is_iso_date(text):
            raise SettingsError(f"{section}.{name} must be a date such as 2014-01-31, got {text!r}.")
    (first, begin), (last, end) = span.items()
    if begin and end and begin > end:
        raise SettingsError(f"{section}.{first} {begin} is after {section}.{last} {end}.")


def _is_iso_date(text: str) -> bool:
    """Only as 2014-01-31: Python reads 20140131, too, which NumPy takes for a year."""
    try:
        return dt.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
