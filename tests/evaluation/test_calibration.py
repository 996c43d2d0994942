"""Promises are kept in calm and in storm, or it is seen; and the histogram has the shape that theory says."""

import logging

import numpy as np
import pandas as pd
import pytest

from app.evaluation.calibration import calibration, pit, volatility
from app.evaluation.metrics import coverage
from app.schema import QUANTILES
from tests.evaluation.planted import gaussian, overlapping
from tests.reference import pit_histogram


def test_terciles_by_hand():
    widths = np.array([[1, 12, 4, 6], [9, 2, 7, 11], [10, 5, 3, 8]])
    found = volatility(gaussian("ewma", np.zeros((3, 4)), spread=widths))
    expected = np.select([widths <= 4, widths <= 8], ["low", "middle"], "high")
    assert found.tolist() == expected.ravel().tolist()


def test_every_model_is_measured_by_the_same_yardstick():
    widths = np.array([[1.0, 2, 3, 4, 5, 6]])
    ewma, walk, network = (gaussian(name, np.zeros((1, 6)), widths) for name in ("ewma", "random-walk", "lstm"))
    backwards = gaussian("gru", np.zeros((1, 6)), 10 * widths[:, ::-1])
    expected = ["low", "low", "middle", "middle", "high", "high"]
    assert volatility(pd.concat([network, backwards, ewma])).tolist() == expected * 3
    assert volatility(pd.concat([backwards, walk])).tolist() == expected * 2
    assert volatility(pd.concat([network, backwards])).tolist() == expected + expected[::-1]
    other = walk.assign(**{name: 7 - walk[name] for name in ("q0.10", "q0.90")})
    assert volatility(pd.concat([ewma, other])).tolist() == expected * 2


def test_each_horizon_has_its_own_terciles():
    table = [gaussian("ewma", np.zeros((1, 3)), np.array([[1, 2, 3]]) * h, horizon=h) for h in (1, 20)]
    assert volatility(pd.concat(table)).tolist() == ["low", "middle", "high"] * 2


def test_terciles_do_not_depend_on_what_happened():
    random = np.random.default_rng(0)
    table = gaussian("ewma", random.normal(size=(4, 50)), random.gamma(3, size=(4, 50)))
    pd.testing.assert_series_equal(volatility(table), volatility(table.assign(actual=-9 * table["actual"])))


def test_a_row_without_a_yardstick_is_in_no_tercile_and_that_is_said(caplog):
    ewma = gaussian("ewma", np.zeros((1, 6)), np.array([[1.0, 2, 3, 4, 5, 6]]))
    table = pd.concat([ewma.iloc[1:], ewma.assign(model="lstm")], ignore_index=True)
    with caplog.at_level(logging.WARNING):
        found = volatility(table)
    assert found.isna().tolist() == [False] * 5 + [True] + [False] * 5
    assert "1 forecasts lie in no tercile: ewma lacks their row." in caplog.text


@pytest.fixture(scope="module")
def regimes():
    """Calm, usual and stormy spells of 3 symbols: EWMA knows them, the random walk is as wide all the time."""
    random = np.random.default_rng(7)
    size = np.repeat(np.tile([0.5, 1.0, 2.0], 20), 30)[None, :]
    actual = size * random.normal(size=(3, 1800))
    wide = np.quantile(np.abs(actual), 0.9) / 1.645
    return pd.concat([gaussian("random-walk", actual, wide), gaussian("ewma", actual, size)], ignore_index=True)


def test_a_constant_width_keeps_its_promise_on_average_and_breaks_it_in_calm_and_storm(regimes):
    found = calibration(regimes).set_index(["model", "volatility", "nominal"])["reached"]
    walk = found["random-walk"]
    assert walk["all", 0.9] == pytest.approx(0.9, abs=0.005)
    assert walk["low", 0.9] > 0.99
    assert walk["high", 0.9] < 0.78
    assert (found["ewma"] - [nominal for _, nominal in found["ewma"].index]).abs().max() < 0.03


def test_a_tercile_is_the_coverage_of_its_rows(regimes):
    found = calibration(regimes)
    assert found["volatility"].tolist() == [name for name in ("all", "low", "middle", "high") for _ in range(3)] * 2
    assert found["model"].tolist() == ["random-walk"] * 12 + ["ewma"] * 12
    rows = coverage(regimes[(volatility(regimes) == "high")])
    expected = rows[(rows["model"] == "ewma") & rows["nominal"].isin([0.5, 0.8, 0.9])]
    part = found[(found["model"] == "ewma") & (found["volatility"] == "high")]
    columns = ["reached", "days", "low", "high"]
    np.testing.assert_array_equal(part[columns].to_numpy(), expected[columns].to_numpy())


def test_the_band_of_a_tercile_holds_the_promise_in_about_95_of_100_histories():
    random = np.random.default_rng(3)
    calm = np.repeat(random.random(60) < 0.5, 10) + 1.0
    table = gaussian("", calm * overlapping(random, 100, 600, 5), calm * np.sqrt(5), horizon=5)
    found = calibration(table.assign(model=table["symbol"]))
    part = found[(found["volatility"] != "all") & (found["nominal"] == 0.8)]
    assert 0.90 <= ((part["low"] <= 0.8) & (part["high"] >= 0.8)).mean() <= 0.98


def test_forecasts_without_actuals_have_no_calibration(regimes):
    live = regimes.head(5).assign(actual=np.nan)
    assert len(calibration(live)) == 0
    assert len(pit(live)) == 0


# --- the histogram


def test_the_histogram_agrees_with_a_loop():
    random = np.random.default_rng(4)
    table = gaussian("lstm", random.normal(size=(3, 60)).round(1), random.gamma(3, size=(3, 60)))
    table[list(QUANTILES)] = table[list(QUANTILES)].round(1)
    found = pit(table)
    expected = pit_histogram(table[list(QUANTILES)].to_numpy().tolist(), table["actual"].tolist())
    np.testing.assert_allclose(found["share"], expected)
    assert found["above"].tolist() == pytest.approx(np.arange(20) / 20)
    assert found["below"].tolist() == pytest.approx(np.arange(1, 21) / 20)


def test_it_is_flat_where_the_forecast_is_right():
    found = pit(gaussian("lstm", np.random.default_rng(1).normal(size=(5, 4000))))
    assert found["share"].sum() == pytest.approx(1)
    assert (found["share"] - 0.05).abs().max() < 0.006
    assert ((found["low"] <= 0.05) & (found["high"] >= 0.05)).sum() >= 17


@pytest.mark.parametrize(("spread", "tails", "middle"), [(0.7, 1, -1), (1.4, -1, 1)])
def test_it_is_a_u_where_the_forecast_is_too_narrow_and_a_hump_where_it_is_too_wide(spread, tails, middle):
    share = pit(gaussian("lstm", np.random.default_rng(1).normal(size=(5, 2000)), spread))["share"].to_numpy()
    assert np.sign(share[[0, -1]] - 0.05).tolist() == [tails, tails]
    assert np.sign(share[9:11] - 0.05).tolist() == [middle, middle]
    assert np.abs(share[[0, -1]] - 0.05).min() > 0.025


def test_it_slopes_where_the_forecast_is_biased():
    share = pit(gaussian("lstm", np.random.default_rng(1).normal(size=(5, 2000)) + 0.3))["share"].to_numpy()
    assert share[:5].sum() < 0.2 < 0.3 < share[-5:].sum()


def test_how_far_out_an_actual_lies_in_a_tail_does_not_matter():
    near, far = (pit(gaussian("lstm", [[2.0, -2.0, edge, -edge]])) for edge in (1.7, 1e9))
    pd.testing.assert_frame_equal(near, far)
    assert near["share"].tolist() == [0.5] + [0.0] * 18 + [0.5]


def test_an_unchanged_price_and_a_median_of_0_fall_half_on_either_side():
    share = pit(gaussian("random-walk", [[0.0, 0.0]]))["share"]
    assert share[9:11].tolist() == [0.5, 0.5]
