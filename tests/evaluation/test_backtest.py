"""Folds are purged, models see the same rows, and the right model wins."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from app.dataset import make_windows
from app.dataset.windows import WindowSpec
from app.errors import DataError, SettingsError
from app.evaluation.backtest import Plan, backtest, folds, split
from app.schema import LEVELS, check_forecasts

SPEC = WindowSpec(lookback=10, horizons=(1, 5))
PLAN = Plan(test_start="2024-10-01", refit=40, validation=30)


@dataclass(frozen=True)
class Remembers:
    """A recipe that writes down what it was shown, and forecasts the same quantiles everywhere."""

    seen: list

    def fit(self, train, validation):
        self.seen.append((train, validation))
        return self

    def predict(self, windows):
        return np.broadcast_to(np.array(LEVELS) - 0.5, (len(windows), 2, 19))


@pytest.fixture
def windows(prices):
    return make_windows(prices, SPEC)


def test_training_targets_end_before_validation_and_all_targets_by_the_cutoff(windows):
    for fold in folds(windows, PLAN):
        assert fold.train.date.max() < fold.validation.origin.min()
        assert fold.validation.date.max() <= fold.cutoff < fold.test.origin.min()
        assert np.isfinite(fold.train.actual).all()


def test_folds_cover_every_origin_once(windows):
    tested = np.concatenate([fold.test.ends for fold in folds(windows, PLAN)])
    expected = windows.originating(np.datetime64("2024-10-01"), windows.origin.max() + 1)
    np.testing.assert_array_equal(np.sort(tested), expected.ends)


def test_folds_are_as_long_as_planned(windows):
    lengths = [len(np.unique(fold.test.origin)) for fold in folds(windows, PLAN)]
    assert lengths[:-1] == [40] * (len(lengths) - 1)
    assert 1 <= lengths[-1] <= 40


def test_the_embargo_is_one_horizon_and_no_more(windows):
    """The newest training window's farthest target is the session before validation begins."""
    fold = next(folds(windows, PLAN))
    sessions = np.unique(windows.origin)
    begins = np.flatnonzero(sessions == fold.validation.origin.min())[0]
    assert fold.train.date.max() == sessions[begins - 1]


def test_the_test_rows_never_reach_fit(windows):
    seen = []
    backtest(windows, {"remembers": Remembers(seen)}, PLAN)
    cutoffs = [fold.cutoff for fold in folds(windows, PLAN)]
    for (train, validation), cutoff in zip(seen, cutoffs, strict=True):
        assert max(train.date.max(), validation.date.max()) <= cutoff


def test_every_model_gets_the_same_rows(windows):
    table = backtest(windows, {"a": Remembers([]), "b": Remembers([])}, PLAN).forecasts
    keys = ["symbol", "origin", "horizon", "actual"]
    a, b = (table.loc[table["model"] == name, keys].reset_index(drop=True) for name in "ab")
    pd.testing.assert_frame_equal(a, b)
    check_forecasts(table)


def test_actuals_are_the_returns_that_followed(windows, prices):
    table = backtest(windows, {"a": Remembers([])}, PLAN).forecasts
    close = prices.set_index(["symbol", "date"])["close"]
    known = table.dropna(subset="actual")
    for row in known.iloc[:: len(known) // 20].itertuples():
        assert row.actual == pytest.approx(np.log(close[row.symbol, row.date] / close[row.symbol, row.origin]))
        assert row.origin_close == close[row.symbol, row.origin]


def test_by_default_the_last_refits_are_tested(windows):
    sessions = np.unique(windows.origin)
    tested = np.concatenate([np.unique(f.test.origin) for f in folds(windows, Plan(refit=20, folds=3, validation=30))])
    np.testing.assert_array_equal(tested, sessions[-60:])


def test_validation_is_at_most_a_quarter_of_what_is_known(windows):
    train, validation = split(windows.known_by(np.datetime64("2024-06-03")), validation=10_000)
    assert len(np.unique(validation.origin)) <= len(np.unique(train.origin))


@pytest.mark.parametrize(
    ("plan", "error", "message"),
    [
        (Plan(test_start="2030-01-01"), DataError, "test_start 2030-01-01 .* windows originate from 2024"),
        (Plan(test_start="2020-01-01"), DataError, "holds no origin with history before it"),
        (Plan(test_start="2024-02-26"), DataError, "too few to train and validate on"),
    ],
)
def test_a_test_period_without_history_or_rows_is_refused(windows, plan, error, message):
    with pytest.raises(error, match=message):
        list(folds(windows, plan))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"test_start": "yesterday"}, "backtest.test_start must be a date such as 2014-01-31, got 'yesterday'"),
        ({"refit": 0}, "backtest.refit must be 1 to 100000, got 0"),
    ],
)
def test_nonsense_is_refused(values, message):
    with pytest.raises(SettingsError, match=message):
        Plan(**values)
