"""Tests keep their size, find what was planted, count days and not rows, and say what they found."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from app.errors import DataError
from app.evaluation.metrics import losses
from app.evaluation.significance import (
    Comparison,
    Verdict,
    block_length,
    day_block_interval,
    diebold_mariano,
    to_json,
    verdict,
    verdicts,
)
from app.schema import LEVELS, QUANTILES
from tests.reference import block_interval, variance_of_overlapping_mean

NORMAL = stats.norm.ppf(LEVELS)


def forecasts(model, actual, spread=1.0, centre=0.0, horizon=1):
    """Gaussian forecasts of (symbols, days) actuals, as a forecasts table."""
    actual = np.atleast_2d(np.asarray(actual, float))
    count, days = actual.shape
    origin = pd.bdate_range("2020-01-01", periods=days).to_numpy().astype("datetime64[ns]")
    table = pd.DataFrame(
        {
            "model": pd.array([model] * actual.size, dtype="str"),
            "symbol": pd.array(np.repeat([f"S{i}" for i in range(count)], days), dtype="str"),
            "origin": np.tile(origin, count),
            "horizon": horizon,
            "date": np.tile(origin, count) + np.timedelta64(horizon, "D"),
            "origin_close": 100.0,
        }
    )
    return table.assign(
        **{q: centre + spread * z for q, z in zip(QUANTILES, NORMAL, strict=True)}, actual=actual.ravel()
    )


def overlapping(random, days, horizon):
    """Sums of `horizon` shocks, one starting each day: what forecasts several sessions ahead are wrong by."""
    return np.convolve(random.standard_t(5, size=days + horizon - 1), np.ones(horizon), "valid")


@pytest.fixture
def rivals():
    """Three models at two horizons: ewma is right, gjr-garch 2 and the random walk 3 times too wide."""
    random = np.random.default_rng(2)
    parts = []
    for horizon in (5, 1):
        actual = np.stack([overlapping(random, 200, horizon) for _ in range(3)])
        scale = np.std(actual)
        for model, wide in (("random-walk", 3.0), ("ewma", 1.0), ("gjr-garch", 2.0)):
            parts.append(forecasts(model, actual, scale * wide, horizon=horizon))
    return pd.concat(parts, ignore_index=True)


# --- Diebold-Mariano


def test_agrees_with_a_published_example():
    # The example in the documentation of the dieboldmariano package on PyPI, one-sided.
    actual, one, other = np.array([10, 20, 30, 40, 50]), np.array([11, 21, 29, 42, 53]), np.array([13, 26, 24, 40, 59])
    found = diebold_mariano((actual - one) ** 2, (actual - other) ** 2, horizon=1)
    assert found.statistic == pytest.approx(-2.2229922805746782)
    assert found.p_lower == pytest.approx(0.04515565862099125)


def test_two_steps_ahead_by_hand():
    # Mean 3, autocovariances 2 and 0.8: 3 / sqrt((2 + 1.6) / 2.4), 4 degrees of freedom.
    found = diebold_mariano([2.0, 3, 4, 5, 6], np.ones(5), horizon=2)
    assert found.statistic == pytest.approx(3 / np.sqrt(1.5))
    assert found.p_value == pytest.approx(0.07048, abs=1e-5)


def test_a_variance_that_would_not_be_positive_takes_bartlett_weights():
    found = diebold_mariano([3.0, 1, 4, 2, 5], np.ones(5), horizon=2)
    assert found.statistic == pytest.approx(2 * np.sqrt(2.4))


def test_one_step_ahead_is_the_paired_t_test():
    one, other = np.random.default_rng(0).gamma(2, size=(2, 40))
    expected = stats.ttest_rel(one, other)
    found = diebold_mariano(one, other, horizon=1)
    assert (found.statistic, found.p_value) == pytest.approx((expected.statistic, expected.pvalue))


@pytest.mark.parametrize("horizon", [1, 5, 20])
def test_agrees_with_a_loop(horizon):
    one, other = np.random.default_rng(horizon).gamma(2, size=(2, 90))
    difference = (one - other).tolist()
    expected = np.mean(difference) / np.sqrt(variance_of_overlapping_mean(difference, horizon))
    assert diebold_mariano(one, other, horizon).statistic == pytest.approx(expected)


def test_one_side_is_half_of_two():
    assert Comparison(-2.0, 0.05).p_lower == 0.025
    assert Comparison(2.0, 0.05).p_lower == 0.975
    assert Comparison(np.nan, 1.0).p_lower == 1.0


@pytest.mark.parametrize("shift", [0.0, 1e-17, 0.1])
def test_differences_that_never_vary_are_no_evidence(shift):
    loss = np.random.default_rng(0).gamma(2, size=30)
    found = diebold_mariano(loss + shift, loss, horizon=1)
    assert np.isnan(found.statistic)
    assert found.p_value == 1.0


@pytest.mark.parametrize(
    ("loss", "reference", "message"),
    [
        (np.ones(5), np.ones(4), r"must pair up, one per origin, got shapes \(5,\) and \(4,\)"),
        (np.ones(5), np.ones(5), r"more than horizon=5 origins without NaN, got n=5 with 0 NaN"),
        (np.full(9, np.nan), np.ones(9), "got n=9 with 9 NaN"),
    ],
)
@pytest.mark.parametrize("test", [diebold_mariano, day_block_interval])
def test_losses_that_cannot_be_tested_are_refused(test, loss, reference, message):
    with pytest.raises(DataError, match=message):
        test(loss, reference, horizon=5)


@pytest.mark.parametrize("horizon", [1, 5])
def test_size_under_equal_accuracy(horizon):
    random = np.random.default_rng(horizon)
    p = []
    for _ in range(400):
        one, other = (overlapping(random, 250, horizon) ** 2 for _ in range(2))
        p.append(diebold_mariano(one, other, horizon).p_value)
    assert 0.02 <= np.mean(np.array(p) < 0.05) <= 0.10


@pytest.mark.parametrize("horizon", [1, 5])
def test_power_against_5_per_cent(horizon):
    random = np.random.default_rng(horizon)
    found = []
    for _ in range(50):
        reference = np.abs(overlapping(random, 500, horizon))
        loss = 0.95 * reference + 0.1 * overlapping(random, 500, horizon)
        found.append(diebold_mariano(loss, reference, horizon))
    assert np.mean([one.p_value < 0.05 and one.statistic < 0 for one in found]) > 0.9


# --- the interval


@pytest.mark.parametrize(("horizon", "block"), [(1, 1), (1, 7), (5, 10)])
def test_the_interval_agrees_with_blocks_taken_day_by_day(horizon, block):
    one, other = np.random.default_rng(4).gamma(2, size=(2, 43))
    expected = block_interval(one.tolist(), other.tolist(), horizon, block, draws=60, seed=9)
    assert day_block_interval(one, other, horizon, block, draws=60, seed=9) == pytest.approx(expected)


@pytest.mark.parametrize(("days", "horizon"), [(250, 1), (250, 5), (160, 20)])
def test_the_interval_holds_the_truth_in_about_95_of_100_histories(days, horizon):
    random = np.random.default_rng(horizon)
    held = []
    for _ in range(200):
        reference = 1 + np.abs(overlapping(random, days, horizon))
        loss = 0.97 * reference + 0.1 * overlapping(random, days, horizon)
        low, high = day_block_interval(loss, reference, horizon, draws=400)
        held.append(low <= -0.03 <= high)
    assert 0.90 <= np.mean(held) <= 0.99


def test_the_interval_is_the_same_for_the_same_seed():
    one, other = np.random.default_rng(4).gamma(2, size=(2, 100))
    assert day_block_interval(one, other, 1) == day_block_interval(one, other, 1)
    assert day_block_interval(one, other, 1) != day_block_interval(one, other, 1, seed=1)


def test_a_loss_in_proportion_has_an_interval_of_one_point():
    reference = np.random.default_rng(4).gamma(2, size=100)
    assert day_block_interval(0.9 * reference, reference, 5) == pytest.approx((-0.1, -0.1))
    assert day_block_interval(0.5 * np.arange(100), np.arange(100), 5) == (-0.5, -0.5)


def test_nothing_can_be_said_in_proportion_to_no_loss():
    assert np.isnan(day_block_interval(np.ones(20), np.zeros(20), 1)).all()


@pytest.mark.parametrize("block", [0, 26])
def test_a_block_that_does_not_fit_twice_is_refused(block):
    with pytest.raises(DataError, match=rf"1 to 25 days \(half of 51\), got {block}"):
        day_block_interval(np.ones(51), np.arange(51), 1, block)


@pytest.mark.parametrize(("days", "horizon", "block"), [(1000, 1, 10), (1000, 20, 40), (160, 20, 40), (100, 20, 25)])
def test_blocks_are_two_horizons_or_the_cube_root_of_days(days, horizon, block):
    assert block_length(days, horizon) == block


# --- the verdict


def test_a_verdict_is_the_test_on_day_means(rivals):
    found = verdict(rivals, "ewma", "gjr-garch", 5)
    rows = losses(rivals).query("horizon == 5")
    one, other = (rows[rows["model"] == name].groupby("origin")["loss"].mean() for name in ("ewma", "gjr-garch"))
    expected = diebold_mariano(one, other, 5)
    assert (found.statistic, found.p_value) == pytest.approx((expected.statistic, expected.p_value))
    assert found.difference == pytest.approx(one.mean() / other.mean() - 1)
    assert (found.low, found.high) == pytest.approx(day_block_interval(one, other, 5))
    assert (found.days, found.symbols, found.better, found.worse) == (200, 3, True, False)


def test_days_are_the_sample_and_symbols_are_not(rivals):
    once = verdict(rivals, "ewma", "gjr-garch", 1)
    copies = [rivals.assign(symbol=rivals["symbol"] + f"_{i}") for i in range(20)]
    many = verdict(pd.concat(copies), "ewma", "gjr-garch", 1)
    assert (many.p_value, many.low, many.high) == pytest.approx((once.p_value, once.low, once.high))
    assert (once.symbols, many.symbols) == (3, 60)


def test_a_model_is_judged_on_the_rows_that_both_have(rivals):
    some = rivals[(rivals["model"] != "ewma") | (rivals["symbol"] != "S1")]
    less = verdict(some, "ewma", "gjr-garch", 1)
    assert less == verdict(rivals[rivals["symbol"] != "S1"], "ewma", "gjr-garch", 1)
    assert less.symbols == 2


def test_a_row_that_a_third_model_lacks_still_counts(rivals):
    some = rivals[(rivals["model"] != "random-walk") | (rivals["symbol"] != "S1")]
    assert verdict(some, "ewma", "gjr-garch", 1) == verdict(rivals, "ewma", "gjr-garch", 1)


def test_swapping_model_and_reference_swaps_the_verdict(rivals):
    one, other = verdict(rivals, "ewma", "gjr-garch", 1), verdict(rivals, "gjr-garch", "ewma", 1)
    assert other.statistic == -one.statistic
    assert (one.better, other.worse) == (True, True)


def test_every_question_is_asked_once_and_in_order(rivals):
    network = rivals[rivals["model"] == "ewma"].assign(model="lstm")
    found = verdicts(pd.concat([rivals, network]))
    asked = [(v.horizon, v.model, v.metric, v.reference) for v in found]
    questions = [("crps", "random-walk"), ("crps", "gjr-garch"), ("mae", "random-walk")]
    assert asked == [(h, model, *question) for h in (1, 5) for model in ("ewma", "lstm") for question in questions]
    assert found[1] == verdict(rivals, "ewma", "gjr-garch", 1)


def test_references_that_are_not_there_are_passed_over(rivals):
    without = rivals[rivals["model"] != "random-walk"]
    assert [(v.reference, v.metric) for v in verdicts(without)] == [("gjr-garch", "crps")] * 2
    assert verdicts(rivals[rivals["model"] == "ewma"]) == []
    assert verdicts(without, references=("garch",)) == []


def test_every_metric_has_a_verdict(rivals):
    wrong = rivals[rivals["model"] == "ewma"].assign(model="lstm", **{"q0.50": rivals["q0.50"] + 1.0})
    for metric, name in (("mae", "MAE"), ("rmse", "MSE")):
        found = verdict(pd.concat([rivals, wrong]), "lstm", "ewma", 1, metric)
        assert found.sentence.startswith(f"lstm's median is worse than ewma's at h = 1: {name} ")


def test_a_model_that_is_not_there_is_refused(rivals):
    with pytest.raises(DataError, match=r"no rows of 'lstm' at horizon 1; models there are \['ewma', 'gjr-garch', "):
        verdict(rivals, "lstm", "gjr-garch", 1)
    with pytest.raises(DataError, match="no rows of 'ewma' at horizon 2"):
        verdict(rivals, "ewma", "gjr-garch", 2)
    with pytest.raises(DataError, match="'ewma' cannot be compared with itself"):
        verdict(rivals, "ewma", "ewma", 1)


# --- its words


def said(**changes):
    """The sentence of a verdict that differs from a plain win in `changes`."""
    numbers = {"difference": -0.009, "low": -0.011, "high": -0.007, "statistic": -7.0, "p_value": 1e-9}
    names = {"model": "lstm", "reference": "gjr-garch", "horizon": 1, "metric": "crps", "days": 993, "symbols": 200}
    return Verdict(**{**names, **numbers, **changes}).sentence


def test_a_win_in_words():
    assert said() == (
        "lstm beats gjr-garch at h = 1: CRPS 0.9 % lower, 95 % interval 0.7 to 1.1 %, p < 0.001, 993 days, 200 symbols"
    )


def test_where_test_and_interval_disagree_the_sentence_says_so():
    told = "993 days, 200 symbols; at the margin: test and interval disagree"
    assert said(p_value=0.045, high=0.001).endswith(told)
    assert said(p_value=0.045, high=0.0).endswith(told)
    assert said(p_value=0.055).endswith(told)
    assert said(p_value=0.055, difference=0.009, low=0.007, high=0.011).endswith(told)
    for agreed in ({"p_value": 0.045}, {"p_value": 0.055, "high": 0.001}):
        assert said(**agreed).endswith("993 days, 200 symbols")


def test_a_median_that_wins_by_always_saying_the_same_is_called_a_drift(rivals):
    drift = {"metric": "mae", "reference": "random-walk"}
    assert said(**drift, up=1.0).endswith("993 days, 200 symbols; by a drift: 99 % or more of its medians say up")
    assert said(**drift, up=0.005).endswith("; by a drift: 99 % or more of its medians say down")
    for plain in ({"up": 0.6}, {"up": None}, {"up": float("nan")}, {"up": 1.0, "difference": 0.009}):
        assert said(**drift, **plain).endswith("993 days, 200 symbols")
    median = ["q0.50"]
    shifted = rivals[rivals["model"] == "ewma"].assign(model="lstm")
    shifted[median] = 0.001
    asked = (("mae", "ewma"), ("crps", "ewma"))
    found = verdicts(pd.concat([rivals, shifted]), asked=asked)
    assert [one.up for one in found if one.model == "lstm"] == [1.0, None] * 2
    assert {one.up for one in verdicts(pd.concat([rivals, shifted]), asked=asked, signed=False)} == {None}


def test_no_win_in_words():
    found = said(horizon=5, difference=-0.001, low=-0.004, high=0.002, statistic=-0.8, p_value=0.41, days=740)
    assert found == (
        "no: lstm does not beat gjr-garch at h = 5: CRPS 0.1 % lower, 95 % interval -0.2 to 0.4 %, p = 0.41, "
        "740 days, 200 symbols"
    )


def test_a_defeat_in_words():
    found = said(difference=0.021, low=0.003, high=0.04, statistic=2.3, p_value=0.0214, symbols=1)
    assert found == (
        "no: lstm is worse than gjr-garch at h = 1: CRPS 2.1 % higher, 95 % interval 0.3 to 4.0 %, p = 0.021, "
        "993 days, 1 symbol"
    )


def test_a_median_in_words():
    median = {"reference": "random-walk", "metric": "mae"}
    assert said(**median, difference=-0.00002, low=-0.0004, high=0.0004, statistic=-0.1, p_value=0.92) == (
        "lstm's median is no better than the random walk's at h = 1: MAE 0.0 % lower, 95 % interval 0.0 to 0.0 %, "
        "p = 0.92, 993 days, 200 symbols"
    )
    assert said(**median).startswith("lstm's median beats the random walk's at h = 1: MAE 0.9 % lower")
    worse = said(**median, difference=0.004, low=0.001, high=0.007, statistic=3.0)
    assert worse.startswith("lstm's median is worse than the random walk's at h = 1: MAE 0.4 % higher")


def test_a_claim_shows_a_difference_even_if_it_is_tiny():
    assert "CRPS 0.02 % lower, 95 % interval 0.01 to 0.04 %" in said(difference=-0.00024, low=-0.0004, high=-0.0001)


@pytest.mark.parametrize(
    ("p", "shown", "wins"),
    [
        (0.0009, "p < 0.001", True),
        (0.001, "p = 0.001", True),
        (0.0494, "p = 0.049", True),
        (0.04999, "p < 0.05", True),
        (0.05, "p = 0.050", False),
        (0.0504, "p = 0.050", False),
        (0.0994, "p = 0.099", False),
        (0.996, "p = 1.00", False),
    ],
)
def test_a_p_value_is_never_rounded_across_the_border(p, shown, wins):
    assert f", {shown}, " in said(p_value=p)
    assert said(p_value=p).startswith("lstm beats" if wins else "no: lstm does not beat")


def test_too_few_days_claim_nothing():
    actual = np.random.default_rng(0).normal(size=(2, 39))
    pair = [forecasts("lstm", actual, 1.0, horizon=5), forecasts("gjr-garch", actual, 3.0, horizon=5)]
    few = verdict(pd.concat(pair), "lstm", "gjr-garch", 5)
    assert np.isnan([few.statistic, few.low, few.high]).all()
    assert (few.p_value, few.better) == (1.0, False)
    assert few.sentence == (
        f"no: lstm cannot be told apart from gjr-garch at h = 5: CRPS {-100 * few.difference:.1f} % lower, "
        "but 40 days are needed to tell, 39 days, 2 symbols"
    )
    assert few.difference < -0.1


def test_identical_models_cannot_be_told_apart(rivals):
    twin = rivals[rivals["model"] == "ewma"].assign(model="lstm")
    same = verdict(pd.concat([rivals, twin]), "lstm", "ewma", 5)
    assert (same.difference, same.p_value) == (0.0, 1.0)
    assert same.sentence == (
        "no: lstm cannot be told apart from ewma at h = 5: CRPS is the same each day, 200 days, 3 symbols"
    )


def test_what_is_not_known_yet_is_no_evidence(rivals):
    live = verdict(rivals.assign(actual=np.nan), "ewma", "random-walk", 1, "mae")
    assert (live.days, live.symbols, live.p_value) == (0, 0, 1.0)
    assert live.sentence == (
        "no: ewma's median cannot be told apart from the random walk's at h = 1: "
        "no day in common on which the actual is known"
    )
    assert {v.days for v in verdicts(rivals.assign(actual=np.nan))} == {0}
    half = rivals.assign(actual=rivals["actual"].where(rivals["model"] == "ewma"))
    assert verdict(half, "ewma", "random-walk", 1, "mae").sentence == live.sentence


def test_a_reference_without_any_loss_is_no_measure():
    table = [forecasts("lstm", np.zeros(30), centre=1.0), forecasts("random-walk", np.zeros(30))]
    found = verdict(pd.concat(table), "lstm", "random-walk", 1, "mae")
    assert found.p_value == 1.0
    assert found.sentence.endswith("at h = 1: MAE of the reference is 0, 30 days, 1 symbol")


def test_json_is_plain_and_has_no_nan(rivals):
    twin = rivals[rivals["model"] == "ewma"].assign(model="lstm")
    found = [verdict(pd.concat([rivals, twin]), "lstm", other, 5) for other in ("ewma", "gjr-garch")]
    rows = json.loads(json.dumps(to_json(found), allow_nan=False))["verdicts"]
    assert (rows[0]["statistic"], rows[0]["low"], rows[0]["better"]) == (None, None, False)
    assert rows[1]["sentence"] == found[1].sentence
    assert (rows[1]["better"], rows[1]["worse"], rows[1]["horizon"], rows[1]["days"]) == (True, False, 5, 200)
    assert Verdict(**{name: rows[1][name] for name in Verdict.__dataclass_fields__}) == found[1]
