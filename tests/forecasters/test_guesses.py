"""The direction without a model: always up, and as often as in the past."""

import numpy as np
import pytest

from app.dataset import make_windows
from app.dataset.windows import WindowSpec
from app.errors import DataError
from app.evaluation.loss import chance
from app.forecasters import load_fitted, make_recipe, save_fitted
from tests.forecasters.planted import learning_sets, price_table, without_future

SPEC = WindowSpec(lookback=5, horizons=(1, 4), target="direction")
CUTOFF, VALIDATION = "2024-06-28", "2024-03-01"


@pytest.fixture(scope="module")
def prices():
    """Three rises and one larger fall in turn: 75 % of the days are up, and of four in a row the sum is none."""
    steps = np.tile([0.01, 0.01, 0.01, -0.031], 150)
    return price_table({"A": steps, "B": steps})


@pytest.fixture(scope="module")
def windows(prices):
    return make_windows(prices, SPEC, "24/5")


def test_the_base_rate_is_the_share_of_rises_known_at_the_cutoff(prices, windows):
    altered = make_windows(without_future(prices, CUTOFF, "noise"), SPEC, "24/5")
    for one in (windows, altered):
        fitted = make_recipe("base-rate", {}).fit(*learning_sets(one, CUTOFF, VALIDATION))
        assert fitted.chances == pytest.approx((0.75, 0.0), abs=0.005)
        said = chance(fitted.predict(windows.newest()).reshape(-1, 19)).reshape(-1, 2)
        np.testing.assert_allclose(said, [[fitted.chances[0], 0.05]] * 2)


def test_always_up_is_as_sure_as_nineteen_quantiles_can_be(windows):
    fitted = make_recipe("always-up", {}).fit(windows, windows)
    quantiles = fitted.predict(windows)
    assert (quantiles > 0).all()
    assert (np.diff(quantiles, axis=-1) > 0).all()
    assert (chance(quantiles.reshape(-1, 19)) == 0.95).all()


@pytest.mark.parametrize("name", ["always-up", "base-rate"])
def test_saved_and_loaded_gives_identical_forecasts(name, windows, tmp_path):
    recipe = make_recipe(name, {})
    fitted = recipe.fit(*learning_sets(windows, CUTOFF, VALIDATION))
    save_fitted(name, recipe, fitted, tmp_path)
    np.testing.assert_array_equal(load_fitted(tmp_path).predict(windows), fitted.predict(windows))


def test_other_horizons_are_refused(prices, windows):
    fitted = make_recipe("always-up", {}).fit(windows, windows)
    with pytest.raises(
        DataError, match=r"a guess of the direction was fitted for horizons \[1, 4\], asked for \[1, 2\]"
    ):
        fitted.predict(make_windows(prices, WindowSpec(5, (1, 2)), "24/5"))
