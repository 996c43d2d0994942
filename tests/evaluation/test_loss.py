"""Losses of single rows: numbers that a pencil can check, and agreement with the definitions."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import log_loss as logarithmic
from sklearn.metrics import roc_auc_score

from app.evaluation.loss import auc, brier, chance, log_loss, qlike, wrong
from app.report.pricing import chance_of_rise
from app.schema import LEVELS
from tests.evaluation.planted import gaussian

STEPS = np.array(LEVELS) - 0.5


def test_the_chance_of_a_rise_is_read_off_the_quantile_function():
    """Evenly spaced quantiles, shifted: 0 lies at 0.5, at 0.3, between 0.35 and 0.40, below and above all."""
    quantiles = np.array([STEPS, STEPS + 0.2, STEPS + 0.13, STEPS + 1, STEPS - 1])
    assert chance(quantiles) == pytest.approx([0.5, 0.7, 0.63, 0.95, 0.05])


def test_probability_that_lies_on_no_change_is_no_rise():
    flat = np.concatenate([STEPS[:8], [0.0, 0.0, 0.0], STEPS[11:]])
    assert chance(flat[None])[0] == pytest.approx(1 - LEVELS[10])


def test_the_page_and_the_scores_read_the_same_chance():
    table = gaussian("lstm", np.zeros((1, 40)), spread=1.3, centre=np.linspace(-1, 1, 40))
    quantiles = table[[name for name in table if name.startswith("q")]].to_numpy()
    np.testing.assert_allclose(chance(quantiles), chance_of_rise(table), rtol=1e-14)


def test_brier_log_loss_and_wrong_signs_by_hand():
    quantiles, actual = np.array([STEPS + 0.2] * 3), np.array([0.01, 0.0, -0.02])
    assert brier(quantiles, actual) == pytest.approx([0.09, 0.49, 0.49])
    assert log_loss(quantiles, actual) == pytest.approx(-np.log([0.7, 0.3, 0.3]))
    assert wrong(quantiles, actual).tolist() == [0, 1, 1]
    assert wrong(STEPS[None], np.array([1.0])).tolist() == [0.5]


def test_they_agree_with_other_peoples_code():
    random = np.random.default_rng(0)
    quantiles, actual = STEPS + random.uniform(-0.4, 0.4, (300, 1)), random.normal(size=300)
    said, rose = chance(quantiles), actual > 0
    assert log_loss(quantiles, actual).mean() == pytest.approx(logarithmic(rose, said))
    assert brier(quantiles, actual).mean() == pytest.approx(((said - rose) ** 2).mean())
    assert auc(np.round(said, 1), rose) == pytest.approx(roc_auc_score(rose, np.round(said, 1)))


def test_auc_of_one_outcome_is_not_known_and_of_one_chance_is_a_half():
    assert np.isnan(auc(np.array([0.2, 0.4]), np.array([True, True])))
    assert auc(np.full(4, 0.6), np.array([True, False, True, False])) == 0.5


def test_the_true_chance_has_the_lowest_brier_score():
    """Proper: whoever says 0.6 of what happens in 60 % of the days loses to nobody."""
    actual = np.where(np.arange(1000) % 10 < 6, 1.0, -1.0)
    scores = {p: brier(np.tile(STEPS + p - 0.5, (1000, 1)), actual).mean() for p in (0.5, 0.55, 0.6, 0.65, 0.7)}
    assert min(scores, key=scores.get) == 0.6
    assert scores[0.6] == pytest.approx(0.24)


def test_qlike_by_hand():
    """A certain forecast of 1 % where 2 % came: v / f is 4, so 4 - log 4 - 1; nothing where it was right."""
    certain = np.full((2, 19), np.log(0.01))
    assert qlike(certain, np.log([0.02, 0.01])) == pytest.approx([4 - np.log(4) - 1, 0.0])


def test_qlike_prefers_the_true_variance_whatever_the_noise():
    """Variances with log-normal noise around 1 %²: a forecast with the right mean loses to no other scale."""
    random = np.random.default_rng(1)
    actual = np.log(0.01) - 0.25 + 0.5 * random.normal(size=40_000)
    shape = np.log(0.01) - 0.25 + 0.5 * stats.norm.ppf(LEVELS)
    mean = np.log(np.exp(2 * shape).mean()) / 2
    shape = shape - mean + np.log(np.exp(2 * actual).mean()) / 2
    scores = {
        size: qlike(np.tile(shape + size, (len(actual), 1)), actual).mean() for size in (-0.1, -0.03, 0, 0.03, 0.1)
    }
    assert min(scores, key=scores.get) == 0
