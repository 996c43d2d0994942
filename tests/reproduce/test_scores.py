"""Accuracy and MCC agree with scikit-learn, and their intervals count days and not rows."""

import numpy as np
import pytest
from sklearn.metrics import matthews_corrcoef

from app.errors import DataError
from app.reproduce.scores import Statistic, accuracy, day_counts, difference, mcc, mean


def planted(seed, days=64, symbols=60, skill=0.0, together=1.0):
    """Days whose symbols move together; forecasts that are right on 50 + 50 `skill` % of the days' direction."""
    rng = np.random.default_rng(seed)
    day = np.repeat(np.arange(days), symbols)
    shock = together * rng.normal(size=days)
    up = shock[day] + rng.normal(size=len(day)) > 0
    guess = np.where(rng.random(days) < skill, shock, rng.normal(size=days))
    return day, up, guess[day] + rng.normal(size=len(day)) > 0


def test_counts_by_hand():
    counts = day_counts(np.array([7, 7, 7, 9]), np.array([1, 1, 0, 0], bool), np.array([1, 0, 1, 0], bool))
    assert counts.tolist() == [[1, 1, 1, 0], [0, 0, 0, 1]]
    assert accuracy(counts).value == 0.5


@pytest.mark.parametrize("skill", [0.0, 0.5])
def test_values_agree_with_scikit_learn(skill):
    day, up, said = planted(1, skill=skill)
    counts = day_counts(day, up, said)
    assert accuracy(counts).value == pytest.approx(np.mean(up == said))
    assert mcc(counts).value == pytest.approx(matthews_corrcoef(up, said))


@pytest.mark.parametrize("statistic", [accuracy, mcc])
def test_linearised_numbers_follow_the_statistic_when_a_day_weighs_more(statistic):
    counts = day_counts(*planted(2, days=20, skill=0.3)).astype(float)
    assert statistic(counts).by_day.mean() == pytest.approx(statistic(counts).value)
    for day in range(len(counts)):
        heavier = counts.copy()
        heavier[day] *= 1.0001
        slope = (statistic(heavier).value - statistic(counts).value) / 0.0001
        expected = (statistic(counts).by_day[day] - statistic(counts).value) / len(counts)
        assert slope == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("statistic", "truth"), [(accuracy, 0.5), (mcc, 0.0)])
def test_intervals_hold_the_truth_as_often_as_they_promise(statistic, truth):
    held = 0
    for seed in range(300):
        low, high = statistic(day_counts(*planted(seed))).interval
        held += low <= truth <= high
    assert 0.91 <= held / 300 <= 0.985


def test_days_and_not_rows_are_the_sample():
    widths = []
    for symbols in (30, 3000):
        low, high = accuracy(day_counts(*planted(3, symbols=symbols))).interval
        widths.append(high - low)
    assert widths[1] > 0.7 * widths[0]


def test_a_forecast_that_never_changes_has_no_correlation_and_no_interval():
    day, up, _ = planted(4)
    always = mcc(day_counts(day, up, np.ones(len(up), bool)))
    assert always.value == 0.0
    assert np.isnan(always.interval).all()


def test_few_days_give_no_interval():
    assert np.isnan(accuracy(day_counts(*planted(5, days=7))).interval).all()


def test_more_seeds_on_the_same_days_narrow_nothing():
    one = accuracy(day_counts(*planted(6)))
    assert mean([one, one, one]).interval == pytest.approx(one.interval)


def test_a_difference_from_itself_is_nothing():
    one = accuracy(day_counts(*planted(6)))
    assert difference(one, one).value == 0.0
    assert np.isnan(difference(one, one).interval).all()


def test_a_shift_moves_the_interval_with_it():
    values = np.random.default_rng(7).normal(size=100)
    low, high = Statistic(float(values.mean()), values).interval
    moved = Statistic(float(values.mean()) - 3, values - 3).interval
    assert moved == pytest.approx((low - 3, high - 3))


def test_lengths_must_agree():
    with pytest.raises(DataError, match="got 2, 1, 1"):
        day_counts(np.zeros(2), np.zeros(1, bool), np.zeros(1, bool))
