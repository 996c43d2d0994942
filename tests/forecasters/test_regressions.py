"""HAR and HAR-X: what both must keep. What each finds stands in files of its own."""

import numpy as np
import pytest

from app.dataset import make_windows
from app.dataset.windows import Windows, WindowSpec
from app.errors import DataError
from app.forecasters import load_fitted, make_recipe, save_fitted
from app.forecasters.baselines import known_windows
from app.forecasters.har import Har
from app.forecasters.harx import HarX
from app.schema import LEVELS
from tests.forecasters.planted import CUTOFF, SPEC, VALIDATION, learning_sets, price_table, without_future

RECIPES = {"har": Har, "har-x": HarX}


@pytest.fixture(scope="module", params=list(RECIPES))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def recipe(name):
    return RECIPES[name]


@pytest.fixture(scope="module")
def fitted(recipe, ranged_sets):
    return recipe().fit(*ranged_sets)


def test_quantiles_are_those_the_past_has_had(fitted, ranged_sets):
    known = known_windows(*ranged_sets)
    below = (known.actual[..., None] <= fitted.predict(known)).mean(axis=0)
    np.testing.assert_allclose(below, np.broadcast_to(LEVELS, below.shape), atol=2 / len(known))


def test_quantiles_rise_and_are_finite(fitted, ranged_windows):
    quantiles = fitted.predict(ranged_windows)
    assert quantiles.shape == (len(ranged_windows), 2, 19)
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=-1) > 0).all()


@pytest.mark.parametrize("change", ["removed", "noise"])
def test_knows_nothing_of_the_future(change, recipe, fitted, ranged_prices, ranged_windows):
    """Rows after the cutoff gone or spoilt: the fit, and forecasts up to the cutoff, stay to the bit."""
    altered = make_windows(without_future(ranged_prices, CUTOFF, change), SPEC, "24/5")
    again = recipe().fit(*learning_sets(altered, CUTOFF, VALIDATION))
    span = np.datetime64("2023-06-01"), np.datetime64(CUTOFF) + 1
    then = fitted.predict(ranged_windows.originating(*span))
    now = again.predict(altered.originating(*span))
    assert len(then) > 40
    np.testing.assert_array_equal(now, then)


def test_only_the_newest_years_are_fitted(recipe, ranged_prices, ranged_sets):
    recent = make_windows(ranged_prices[ranged_prices["date"] >= "2018-01-01"], SPEC, "24/5")
    few = recipe(years=2).fit(*ranged_sets)
    again = recipe(years=2).fit(*learning_sets(recent, CUTOFF, VALIDATION))
    np.testing.assert_allclose(few.slopes, again.slopes)
    assert not np.allclose(few.slopes, recipe(years=10).fit(*ranged_sets).slopes)


def test_a_forecast_is_the_same_in_any_company(fitted, ranged_windows):
    whole = fitted.predict(ranged_windows)
    for number in (0, 1, 300, len(ranged_windows) - 1):
        alone = fitted.predict(Windows(ranged_windows.panel, ranged_windows.ends[number : number + 1]))
        np.testing.assert_array_equal(alone[0], whole[number])
    assert fitted.predict(Windows(ranged_windows.panel, ranged_windows.ends[:0])).shape == (0, 2, 19)


def test_saved_and_loaded_by_name_gives_identical_forecasts(name, recipe, fitted, ranged_windows, tmp_path):
    save_fitted(name, make_recipe(name, {name.replace("-", ""): recipe()}), fitted, tmp_path)
    again = load_fitted(tmp_path)
    assert isinstance(again, type(fitted))
    np.testing.assert_array_equal(again.predict(ranged_windows), fitted.predict(ranged_windows))


def test_other_horizons_are_refused(name, fitted, ranged_prices):
    other = make_windows(ranged_prices, WindowSpec(5, (1, 2)), "24/5")
    with pytest.raises(DataError, match=rf"{name} was fitted for horizons \[1, 4\], asked for \[1, 2\]"):
        fitted.predict(other)


def test_a_symbol_that_never_moves_gets_a_forecast(recipe):
    table = price_table({"STILL": np.zeros(80), "MOVES": 0.01 * np.random.default_rng(0).normal(size=80)})
    table.loc[table["symbol"] == "STILL", ["high", "low"]] = 50.0
    windows = make_windows(table, SPEC, "24/5")
    assert np.isfinite(recipe().fit(windows, windows).predict(windows)).all()
