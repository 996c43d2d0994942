"""Features: nothing of the future, one value checked by eye each, bounded whatever comes in."""

import numpy as np
import pandas as pd
import pytest

from app.dataset.features import FEATURES, FLOOR, LARGEST, WARM_UP, basis, ewma_volatility, feature_matrix
from tests.reference import ewma_volatility as slow_ewma_volatility


@pytest.fixture
def one(prices) -> pd.DataFrame:
    return prices[prices["symbol"] == "NOISE"].reset_index(drop=True)


def known(prices: pd.DataFrame) -> pd.DataFrame:
    return basis(prices, np.ones(len(prices)))


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
@pytest.mark.parametrize("rows", [25, 60, 299])
def test_knows_nothing_of_the_future(feature, rows, one):
    whole = np.asarray(feature.compute(known(one)))
    np.testing.assert_array_equal(np.asarray(feature.compute(known(one.iloc[:rows]))), whole[:rows])


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_does_not_change_when_later_rows_become_noise(feature, one):
    noisy = one.copy()
    later = slice(200, None)
    for name in ("open", "high", "low", "close", "volume"):
        noisy.loc[noisy.index[later], name] *= np.random.default_rng(1).uniform(0.5, 2, len(noisy.index[later]))
    noisy.loc[250, ["split", "dividend"]] = [2.0, 1.0]
    before, after = (np.asarray(feature.compute(known(table)))[:200] for table in (one, noisy))
    np.testing.assert_array_equal(before, after)


def test_are_free_of_scale(one):
    doubled = one.assign(**{name: one[name] * 7 for name in ("open", "high", "low", "close")}, volume=one["volume"] * 3)
    np.testing.assert_allclose(feature_matrix(known(one)), feature_matrix(known(doubled)), atol=1e-5)


def test_a_split_is_no_event(one):
    """Facts as traded around a 2-for-1 split give the same features as the same path without one."""
    split = one.copy()
    split.loc[150:, ["open", "high", "low", "close"]] /= 2
    split.loc[150:, "volume"] *= 2
    split.loc[150, "split"] = 2.0
    np.testing.assert_allclose(feature_matrix(known(split)), feature_matrix(known(one)), atol=1e-5)


def test_volatility_agrees_with_the_recursion_written_as_a_loop(one):
    returns = known(one)["returns"].to_numpy()
    np.testing.assert_allclose(
        ewma_volatility(returns, 0.94)[1:], slow_ewma_volatility(returns[1:], 0.94, WARM_UP), rtol=1e-12
    )


def test_volatility_of_a_constant_move_is_that_move():
    returns = np.r_[np.nan, np.full(100, 0.02)]
    volatility = ewma_volatility(returns, 0.94)
    assert np.isnan(volatility[:WARM_UP]).all()
    np.testing.assert_allclose(volatility[WARM_UP:], 0.02)


def test_a_symbol_that_never_moves_is_not_divided_by_zero(prices):
    still = prices[prices["symbol"] == "UP"].assign(open=5.0, high=5.0, low=5.0, close=5.0, volume=0.0)
    matrix = feature_matrix(known(still))[WARM_UP:]
    assert np.isfinite(matrix).all()
    assert known(still)["volatility"].iloc[-1] == FLOOR


def test_features_of_one_session_by_hand(one):
    """Up and down are the return over volatility, split by sign; days_to_next is a logarithm."""
    table = known(one)
    matrix = pd.DataFrame(feature_matrix(table), columns=[feature.name for feature in FEATURES])
    row = 123
    ratio = np.log(one["close"][row] / one["close"][row - 1]) / table["volatility"][row]
    assert matrix["up"][row] + matrix["down"][row] == pytest.approx(ratio, abs=1e-6)
    assert min(abs(matrix["up"][row]), abs(matrix["down"][row])) == 0
    assert matrix["days_to_next"][row] == 0
    assert matrix["volume"][row] == pytest.approx(np.log(1123 / np.mean(1000 + np.arange(64, 124))), abs=1e-6)
    top = max(one["high"][row], one["close"][row - 1])
    bottom = min(one["low"][row], one["close"][row - 1])
    assert matrix["range"][row] == pytest.approx(np.log(np.log(top / bottom) / table["volatility"][row]), abs=1e-5)


def test_unknown_highs_lows_and_volumes_leave_no_hole(one):
    holes = one.assign(high=np.nan, low=np.nan, volume=np.nan, open=np.nan)
    matrix = feature_matrix(known(holes))
    assert np.isfinite(matrix[WARM_UP:]).all()
    assert np.abs(matrix[WARM_UP:]).max() <= LARGEST
