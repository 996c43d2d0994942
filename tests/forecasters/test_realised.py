"""Models of realised volatility: what is carried forward or expected, with the errors it has made."""

import numpy as np
import pytest

from app.dataset import make_windows
from app.dataset.windows import Windows, WindowSpec
from app.errors import SettingsError
from app.forecasters import MODELS, load_fitted, make_recipe, save_fitted
from app.forecasters.baselines import RandomWalk, known_windows
from app.forecasters.egarch import Egarch
from app.forecasters.garch import Garch
from app.forecasters.har import Har
from app.forecasters.tabular import QuantileBoosting
from app.schema import LEVELS
from tests.forecasters.planted import learning_sets, ranged, without_future

SPEC = WindowSpec(lookback=5, horizons=(1, 4), target="volatility")
CUTOFF, VALIDATION = "2023-06-30", "2022-12-30"
SECTIONS = {
    "random_walk": RandomWalk(), "ewma": None, "garch": Garch(), "egarch": Egarch(), "har": Har(),
    "boosting": QuantileBoosting(iterations=5, rows=1500),
}  # fmt: skip
NAMES = ("random-walk", "ewma", "garch", "gjr-garch", "egarch", "har")
SLOPES = (0.3, 0.3, 0.3)


@pytest.fixture(scope="module")
def prices():
    """Two symbols of 0.6 % and 3 % a session, whose log range volatility is a HAR with noise of 0.2."""
    return ranged({"CALM": (0.1 * np.log(0.006), 1600), "WILD": (0.1 * np.log(0.03), 1500)}, SLOPES, noise=0.2)


@pytest.fixture(scope="module")
def windows(prices):
    return make_windows(prices, SPEC, "24/5")


@pytest.fixture(scope="module")
def fitted(windows):
    sets = learning_sets(windows, CUTOFF, VALIDATION)
    return {name: make_recipe(name, SECTIONS, "volatility").fit(*sets) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_quantiles_of_log_volatility_are_those_the_past_has_had(name, fitted, windows):
    known = known_windows(*learning_sets(windows, CUTOFF, VALIDATION))
    quantiles = fitted[name].predict(windows)
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=-1) >= 0).all()
    below = (known.actual[..., None] <= fitted[name].predict(known)).mean(axis=0)
    np.testing.assert_allclose(below, np.broadcast_to(LEVELS, below.shape), atol=2 / len(known))


def test_trees_learn_the_volatility_their_windows_hold(windows):
    """A little of it, after five trees: nearer than the median of all, and named in `MODELS` like the others."""
    sets = learning_sets(windows, CUTOFF, VALIDATION)
    later = windows.originating(np.datetime64("2023-07-01"), np.datetime64("2024-12-01"))
    quantiles = make_recipe("quantile-boosting", SECTIONS, "volatility").fit(*sets).predict(later)
    assert (np.diff(quantiles, axis=-1) >= 0).all()
    flat = later.actual[:, 0] - np.median(sets[0].actual[:, 0])
    assert np.abs(quantiles[:, 0, 9] - later.actual[:, 0]).mean() < 0.5 * np.abs(flat).mean()


def test_the_best_is_the_model_that_is_true(fitted, windows):
    """A HAR planted is forecast to within its noise by HAR, and by no other as well."""
    later = windows.originating(np.datetime64("2023-07-01"), np.datetime64("2024-12-01"))
    error = {name: np.abs(one.predict(later)[:, 0, 9] - later.actual[:, 0]).mean() for name, one in fitted.items()}
    assert error["har"] == pytest.approx(0.2 * np.sqrt(2 / np.pi), rel=0.1)
    assert min(error, key=error.get) == "har"


def test_the_random_walk_carries_the_last_twenty_sessions_forward(fitted, windows):
    one = windows.of("CALM").newest()
    rows = windows.panel.offsets[1] - 1 - np.arange(20)
    panel = windows.panel
    squares = np.square(np.exp(panel.features[rows, 2]) * panel.volatility[rows]) / (4 * np.log(2))
    middle = fitted["random-walk"].predict(one) - fitted["random-walk"].quantiles
    np.testing.assert_allclose(middle[0], np.log(np.sqrt(squares.mean())), rtol=1e-6)


def test_a_model_of_returns_is_read_by_its_width(fitted, windows):
    """Twice as wide is log 2 higher, and the rest is the errors of the past."""
    expected = fitted["gjr-garch"]
    width = np.ptp(expected.fitted.predict(windows), axis=-1)
    shift = expected.predict(windows)[..., 9] - np.log(width)
    np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape), atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_knows_nothing_of_the_future(name, fitted, prices, windows):
    altered = make_windows(without_future(prices, CUTOFF, "noise"), SPEC, "24/5")
    again = make_recipe(name, SECTIONS, "volatility").fit(*learning_sets(altered, CUTOFF, VALIDATION))
    first, last = np.datetime64("2023-06-01"), np.datetime64(CUTOFF) + 1
    then, now = (
        model.predict(one.originating(first, last)) for model, one in ((fitted[name], windows), (again, altered))
    )
    assert len(then) > 40
    np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_loaded_by_name_gives_identical_forecasts(name, fitted, windows, tmp_path):
    save_fitted(name, make_recipe(name, SECTIONS, "volatility"), fitted[name], tmp_path)
    some = Windows(windows.panel, windows.ends[::50])
    np.testing.assert_array_equal(load_fitted(tmp_path).predict(some), fitted[name].predict(some))


@pytest.mark.parametrize("name", ["always-up", "base-rate"])
def test_a_guess_of_the_direction_is_none_of_the_volatility(name):
    assert name in MODELS
    with pytest.raises(SettingsError, match=f"{name}.* guesses the direction, but window.target is 'volatility'"):
        make_recipe(name, SECTIONS, "volatility")
