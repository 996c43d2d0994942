"""Scores are what their definitions say, row by row and in blocks, and agree with loops."""

import logging

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from app.errors import DataError
from app.evaluation import metrics
from app.evaluation.metrics import common_rows, coverage, crps, day_means, losses, pinball, score
from app.evaluation.overlap import mean_variance
from app.schema import LEVELS, QUANTILES, check_forecasts
from tests.reference import crps_of_gaussian, crps_of_quantiles, scores_of_rows, variance_of_overlapping_mean

NORMAL = stats.norm.ppf(LEVELS)
STEPS = np.arange(-9.0, 10.0)
"""Quantiles of a forecast whose level 0.05 k is k - 10: -9 to 9, median 0, as whole numbers are exact."""


def forecasts(model, actual, quantiles, horizon=1, symbols=None):
    """A forecasts table from (symbols, days) actuals and quantiles (19,) or (symbols, days, 19)."""
    actual = np.atleast_2d(np.asarray(actual, float))
    count, days = actual.shape
    origin = pd.bdate_range("2024-01-01", periods=days).to_numpy().astype("datetime64[ns]")
    table = pd.DataFrame(
        {
            "model": pd.array([model] * actual.size, dtype="str"),
            "symbol": pd.array(np.repeat(symbols or [f"S{i}" for i in range(count)], days), dtype="str"),
            "origin": np.tile(origin, count),
            "horizon": horizon,
            "date": np.tile(origin, count) + np.timedelta64(horizon, "D"),
            "origin_close": 100.0,
        }
    )
    spread = np.broadcast_to(quantiles, (*actual.shape, len(QUANTILES))).reshape(actual.size, -1)
    return check_forecasts(table.assign(**dict(zip(QUANTILES, spread.T, strict=True)), actual=actual.ravel()))


@pytest.fixture
def several():
    """Two models with different quantiles, two horizons, 4 symbols x 30 days, some actuals not known, one 0."""
    random = np.random.default_rng(5)
    parts = []
    for horizon in (5, 1):
        actual = random.normal(scale=0.02, size=(4, 30))
        actual[0, 3], actual[:, 28:], actual[1, 5] = 0.0, np.nan, np.nan
        for model in ("lstm", "ewma"):
            centre = random.normal(scale=0.01, size=(4, 30, 1)) * (random.random((4, 30, 1)) > 0.2)
            parts.append(forecasts(model, actual, centre + NORMAL * random.uniform(0.01, 0.03, (4, 30, 1)), horizon))
    return pd.concat(parts, ignore_index=True)


def test_pinball_weighs_the_two_sides_by_the_level():
    found = pinball(np.array([[0.1, 0.1], [0.5, 0.5]]), np.array([0.3, 0.3]), np.array([0.9, 0.2]))
    np.testing.assert_allclose(found, [[0.18, 0.04], [0.02, 0.16]])


def test_pinball_refuses_quantiles_of_another_shape():
    with pytest.raises(DataError, match=r"must be \(n, levels\) = \(3, 2\), got \(2, 3\)"):
        pinball(np.zeros((2, 3)), np.zeros(3), np.array([0.1, 0.9]))


@pytest.mark.parametrize("actual", [-0.3, 0.0, 0.2])
def test_crps_of_a_point_forecast_is_its_absolute_error(actual):
    assert crps(np.full((1, 19), 0.05), np.array([actual])) == pytest.approx([abs(actual - 0.05)])


def test_crps_agrees_with_a_loop_over_levels():
    random = np.random.default_rng(1)
    quantiles, actual = np.sort(random.normal(size=(40, 19))), random.normal(size=40)
    expected = [crps_of_quantiles(row, y, LEVELS) for row, y in zip(quantiles, actual, strict=True)]
    np.testing.assert_allclose(crps(quantiles, actual), expected)


@pytest.mark.parametrize(("spread", "above"), [(0.8, 1.0476), (1.0, 1.0483), (1.25, 1.0478)])
def test_crps_of_a_gaussian_is_5_per_cent_above_the_closed_form(spread, above):
    actual = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    closed = np.mean([crps_of_gaussian(0.0, spread, y) for y in actual])
    assert crps(np.tile(spread * NORMAL, (len(actual), 1)), actual).mean() / closed == pytest.approx(above, abs=2e-4)


def test_a_score_by_hand():
    # Median 1; the intervals are 1 -+ 5, 8 and 9, ends included.
    table = forecasts("lstm", [[6, -2, np.nan], [-6.5, 0, 10]], 1 + STEPS)
    (row,) = score(table).to_dict("records")
    assert (row["model"], row["horizon"], row["n"], row["days"], row["symbols"]) == ("lstm", 1, 5, 3, 2)
    assert row["mae"] == (5 + 3 + 7.5 + 1 + 9) / 5
    assert row["rmse"] == pytest.approx(np.sqrt((25 + 9 + 56.25 + 1 + 81) / 5))
    assert row["direction"] == 2 / 4
    assert [row[f"coverage_{nominal}"] for nominal in (50, 80, 90)] == [3 / 5, 4 / 5, 5 / 5]
    assert row["width_80"] == 16
    assert row["pinball"] == row["crps"] / 2


def test_a_median_of_zero_is_right_half_the_time():
    assert score(forecasts("random-walk", [0.01, -0.02, 0.03, 0.0], STEPS))["direction"].item() == 0.5


def test_scores_agree_with_loops(several):
    found = score(several)
    assert found[["model", "horizon"]].values.tolist() == [["lstm", 1], ["lstm", 5], ["ewma", 1], ["ewma", 5]]
    for row in found.to_dict("records"):
        own = several[(several["model"] == row["model"]) & (several["horizon"] == row["horizon"])]
        rows = [(r["symbol"], r["origin"], [r[q] for q in QUANTILES], r["actual"]) for r in own.to_dict("records")]
        expected = scores_of_rows(rows, LEVELS)
        assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-12)


def test_blocks_change_nothing(several, monkeypatch):
    whole = score(several), coverage(several), losses(several)
    monkeypatch.setattr(metrics, "_BLOCK", 7)
    for one, other in zip(whole, (score(several), coverage(several), losses(several)), strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_the_order_of_rows_changes_nothing_but_the_order_of_models(several):
    mixed = several.sample(frac=1, random_state=0)
    keys = ["model", "horizon"]
    one, other = (score(table).sort_values(keys).reset_index(drop=True) for table in (several, mixed))
    pd.testing.assert_frame_equal(one, other)
    pd.testing.assert_frame_equal(day_means(several), day_means(mixed)[["lstm", "ewma"]])


def test_quantiles_in_float32_are_scored_in_float64(several):
    single = several.astype(dict.fromkeys(QUANTILES, "float32"))
    pd.testing.assert_frame_equal(score(single), score(single.astype(several.dtypes)), rtol=1e-13)
    assert losses(single)["loss"].dtype == "float64"


def test_forecasts_that_nothing_is_known_about_have_no_scores():
    live = forecasts("lstm", [np.nan, np.nan], STEPS)
    assert len(score(live)) == len(coverage(live)) == len(losses(live)) == len(day_means(live)) == 0
    assert tuple(score(live).columns) == metrics.SCORE_COLUMNS


@pytest.mark.parametrize(("metric", "expected"), [("crps", 0.05), ("mae", 0.05), ("rmse", 0.0025)])
def test_losses_are_one_per_known_row(metric, expected):
    found = losses(forecasts("lstm", [[0.03, np.nan], [-0.07, -0.07]], np.full(19, -0.02)), metric)
    assert found["symbol"].tolist() == ["S0", "S1", "S1"]
    np.testing.assert_allclose(found["loss"], expected)


def test_an_unknown_metric_is_refused():
    with pytest.raises(DataError, match=r"one of \['brier', 'crps', 'mae', 'qlike', 'rmse', 'wrong'\], got 'mape'"):
        losses(forecasts("lstm", [0.01], STEPS), "mape")


def test_day_means_average_symbols_and_never_days():
    table = pd.concat([forecasts("lstm", [[1, 2], [3, 6]], np.zeros(19)), forecasts("ewma", [[1, 2]], np.ones(19))])
    found = day_means(table[table["symbol"] == "S0"], "mae")
    assert found.loc[1].to_dict("list") == {"lstm": [1, 2], "ewma": [0, 1]}
    alone = day_means(table[table["model"] == "lstm"], "mae")
    assert alone.loc[1, "lstm"].tolist() == [2, 4]
    assert alone.index.names == ["horizon", "origin"]


def test_a_row_that_a_model_lacks_counts_for_no_model(caplog):
    table = pd.concat([forecasts("lstm", [[1, 2], [3, 6]], np.zeros(19)), forecasts("ewma", [[1, 2]], np.ones(19))])
    with caplog.at_level(logging.WARNING):
        found = day_means(table, "mae")
    assert found["lstm"].tolist() == [1, 2]
    assert "2 of 6 forecasts left out" in caplog.text
    assert len(common_rows(table)) == 4


def test_rows_that_stand_twice_are_refused():
    table = forecasts("lstm", [0.01, 0.02], STEPS)
    with pytest.raises(DataError, match=r"1 row\(s\) repeat a"):
        common_rows(pd.concat([table, table.iloc[:1]]))


def test_coverage_by_hand():
    # 1 and -1 are held by every interval (-+ 1 is nominal 0.1), 4.5 by those from -+ 5 (0.5) on, 20 by none.
    found = coverage(forecasts("lstm", [1, -1, 4.5, 20], STEPS))
    assert found["nominal"].tolist() == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert found["reached"].tolist() == [0.5] * 4 + [0.75] * 5
    assert found["days"].tolist() == [4] * 9
    assert found["low"].tolist() == pytest.approx([0] * 9)  # 0.5 - 3.18 x 0.29 and 0.75 - 3.18 x 0.25, cut at 0
    assert found["high"].tolist() == pytest.approx([1] * 9)


def test_coverage_agrees_with_score_and_its_band_with_a_loop(several):
    found = coverage(several).set_index(["model", "horizon", "nominal"])
    for row in score(several).to_dict("records"):
        for nominal in (50, 80, 90):
            reached = found.loc[(row["model"], row["horizon"], nominal / 100), "reached"]
            assert reached == pytest.approx(row[f"coverage_{nominal}"])
    own = several[(several["model"] == "ewma") & (several["horizon"] == 5) & several["actual"].notna()]
    inside = own["actual"].between(own["q0.25"], own["q0.75"])
    per_day = inside.groupby(own["origin"]).agg(["sum", "size"])
    share = inside.mean()
    residual = ((per_day["sum"] - share * per_day["size"]) / per_day["size"].mean()).tolist()
    half = stats.t.ppf(0.975, len(per_day) - 1) * np.sqrt(variance_of_overlapping_mean(residual, 5))
    band = found.loc[("ewma", 5, 0.5), ["low", "high"]].tolist()
    assert band == pytest.approx([share - half, share + half])


def test_symbols_that_move_as_one_do_not_narrow_the_band():
    actual = np.random.default_rng(3).normal(scale=5, size=60)
    alone, crowd = (coverage(forecasts("lstm", np.tile(actual, (count, 1)), STEPS)) for count in (1, 50))
    pd.testing.assert_frame_equal(alone, crowd)


def test_the_band_holds_the_truth_in_about_95_of_100_histories():
    random = np.random.default_rng(0)
    market = random.normal(size=(400, 1, 100))
    actual = 0.8 * market + 0.6 * random.normal(size=(400, 3, 100))
    found = coverage(pd.concat([forecasts(f"m{i}", days, NORMAL) for i, days in enumerate(actual)]))
    found = found[found["nominal"] == 0.8]
    assert len(found) == 400
    assert 0.92 <= ((found["low"] <= 0.8) & (found["high"] >= 0.8)).mean() <= 0.98


@pytest.mark.parametrize("actual", [[0.0, 0.0, 0.0], [0.5]])
def test_there_is_no_band_where_nothing_varies(actual):
    found = coverage(forecasts("lstm", actual, STEPS))
    assert found["reached"].eq(1).all()
    assert found[["low", "high"]].isna().all(axis=None)


def test_variance_by_hand():
    # Squares 4 1 0 1 4, neighbours 2 0 0 2; the factor is 5 + 1 - 2 h + h (h - 1) / 5.
    assert mean_variance(np.array([1.0, 2, 3, 4, 5]), horizon=1) == pytest.approx(2 / 4)
    assert mean_variance(np.array([1.0, 2, 3, 4, 5]), horizon=2) == pytest.approx((2 + 2 * 0.8) / 2.4)


def test_variance_that_would_not_be_positive_takes_bartlett_weights():
    # Autocovariances 2 and -1: the plain sum is 2 - 2, Bartlett's 2 - 1.
    assert mean_variance(np.array([2.0, 0, 3, 1, 4]), horizon=2) == pytest.approx(1 / 2.4)


@pytest.mark.parametrize(("n", "horizon"), [(20, 1), (20, 5), (9, 5), (60, 20), (21, 20)])
def test_variance_agrees_with_a_loop(n, horizon):
    for seed in range(10):
        values = np.random.default_rng(seed).normal(size=n)
        expected = variance_of_overlapping_mean(values.tolist(), horizon)
        assert mean_variance(values, horizon) == pytest.approx(expected)


def test_too_few_days_have_no_variance():
    assert np.isnan(mean_variance(np.arange(5.0), horizon=5))
