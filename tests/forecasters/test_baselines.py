"""The naive models: numbers a pencil can check, and nothing of the future."""

import numpy as np
import pytest
from scipy import stats

from app.dataset import make_windows
from app.dataset.windows import Windows, WindowSpec
from app.errors import DataError, SettingsError
from app.forecasters.baselines import Ewma, FittedEwma, FittedRandomWalk, RandomWalk, known_windows
from app.schema import LEVELS
from tests.forecasters.planted import learning_sets, price_table, without_future
from tests.reference import historical_volatility

SPEC = WindowSpec(lookback=5, horizons=(1, 4))
CUTOFF, VALIDATION = "2024-06-28", "2024-03-01"
BOTH = pytest.mark.parametrize(
    ("recipe", "loaded"), [(RandomWalk(60), FittedRandomWalk), (Ewma(), FittedEwma)], ids=["random-walk", "ewma"]
)


@pytest.fixture(scope="module")
def prices():
    """CALM moves 1 % a session, WILD 3 %; YOUNG has 80 sessions only."""
    rng = np.random.default_rng(0)
    sizes = {"CALM": (0.01, 700), "WILD": (0.03, 500), "YOUNG": (0.02, 80)}
    return price_table({symbol: size * rng.normal(size=count) for symbol, (size, count) in sizes.items()})


@pytest.fixture(scope="module")
def windows(prices):
    return make_windows(prices, SPEC, "24/5")


def test_random_walk_by_hand():
    """Returns of 1 % up and down in turn: sigma is 1 %, so the quantiles are z(level) % sqrt(h)."""
    steps = 0.01 * np.where(np.arange(60) % 2, 1, -1)
    windows = make_windows(price_table({"A": steps}), SPEC, "24/5").newest()
    quantiles = RandomWalk(20).fit(windows, windows).predict(windows)
    assert quantiles[0, 0, [0, 9, 18]] == pytest.approx([-0.0164485, 0.0, 0.0164485], abs=1e-7)
    assert quantiles[0, 1, 18] == pytest.approx(2 * 0.0164485, abs=1e-7)


def test_random_walk_agrees_with_a_loop(windows):
    sets = learning_sets(windows, CUTOFF, VALIDATION)
    quantiles = RandomWalk(60).fit(*sets).predict(windows)
    for number in range(0, len(windows), 37):
        begin = windows.panel.offsets[windows.panel.code[windows.ends[number]]]
        sigma = historical_volatility(windows.panel.returns[begin : windows.ends[number] + 1].tolist(), 60)
        expected = sigma * np.sqrt(np.array([[1.0], [4.0]])) * stats.norm.ppf(LEVELS)
        np.testing.assert_allclose(quantiles[number], expected, rtol=1e-12)


def test_the_median_of_a_random_walk_is_no_change_at_all(windows):
    quantiles = RandomWalk().fit(windows, windows).predict(windows)
    assert (quantiles[..., LEVELS.index(0.5)] == 0).all()


def test_ewma_takes_the_quantiles_its_own_past_has_had(windows):
    train, validation = learning_sets(windows, CUTOFF, VALIDATION)
    fitted = Ewma().fit(train, validation)
    scaled = np.concatenate([one.actual / one.scale for one in (train, validation)])
    below = (scaled[:, :, None] <= fitted.quantiles).mean(axis=0)
    np.testing.assert_allclose(below, np.broadcast_to(LEVELS, below.shape), atol=2 / len(scaled))


def test_ewma_is_as_wide_as_the_symbol_is_wild(windows):
    fitted = Ewma().fit(*learning_sets(windows, CUTOFF, VALIDATION))
    width = np.ptp(fitted.predict(windows)[:, 0], axis=1)
    ratio = width[windows.symbol == "WILD"].mean() / width[windows.symbol == "CALM"].mean()
    assert ratio == pytest.approx(3, rel=0.1)


@BOTH
def test_quantiles_rise_and_are_finite(recipe, loaded, windows):
    quantiles = recipe.fit(*learning_sets(windows, CUTOFF, VALIDATION)).predict(windows)
    assert quantiles.shape == (len(windows), 2, 19)
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=-1) > 0).all()


@BOTH
@pytest.mark.parametrize("change", ["removed", "noise"])
def test_knows_nothing_of_the_future(recipe, loaded, change, prices, windows):
    """Rows after the cutoff gone or spoilt: the fit, and the forecast made at the cutoff, stay to the bit."""
    altered = make_windows(without_future(prices, CUTOFF, change), SPEC, "24/5")
    day = np.datetime64(CUTOFF)
    then, now = (
        recipe.fit(*learning_sets(one, CUTOFF, VALIDATION)).predict(one.originating(day, day + 1))
        for one in (windows, altered)
    )
    assert len(then) == 2
    np.testing.assert_array_equal(now, then)


@BOTH
def test_a_forecast_is_the_same_in_any_company(recipe, loaded, windows):
    fitted = recipe.fit(*learning_sets(windows, CUTOFF, VALIDATION))
    whole = fitted.predict(windows)
    for number in (0, 300, len(windows) - 1):
        alone = fitted.predict(Windows(windows.panel, windows.ends[number : number + 1]))
        np.testing.assert_array_equal(alone[0], whole[number])
    assert fitted.predict(Windows(windows.panel, windows.ends[:0])).shape == (0, 2, 19)


@BOTH
def test_saved_and_loaded_gives_identical_forecasts(recipe, loaded, windows, tmp_path):
    fitted = recipe.fit(*learning_sets(windows, CUTOFF, VALIDATION))
    fitted.save(tmp_path)
    np.testing.assert_array_equal(loaded.load(tmp_path).predict(windows), fitted.predict(windows))


def test_a_symbol_that_never_moves_gets_a_forecast():
    windows = make_windows(price_table({"STILL": np.zeros(60)}), SPEC, "24/5")
    assert (np.diff(RandomWalk().fit(windows, windows).predict(windows), axis=-1) > 0).all()


def test_what_is_not_known_is_not_learnt_from(windows):
    known = known_windows(windows, windows)
    assert len(known) == np.isfinite(windows.actual).all(axis=1).sum() < len(windows)
    with pytest.raises(DataError, match="none of 3 windows has a known target"):
        Ewma().fit(windows.newest(), windows.newest())


def test_other_horizons_are_refused(prices, windows):
    fitted = Ewma().fit(*learning_sets(windows, CUTOFF, VALIDATION))
    other = make_windows(prices, WindowSpec(5, (1, 2)), "24/5")
    with pytest.raises(DataError, match=r"ewma was fitted for horizons \[1, 4\], asked for \[1, 2\]"):
        fitted.predict(other)


@pytest.mark.parametrize("sessions", [0, 19, 10_001])
def test_a_lookback_that_makes_no_sense_is_refused(sessions):
    with pytest.raises(SettingsError, match=rf"lookback_sessions must be 20 to 10000 sessions, got {sessions}\."):
        RandomWalk(sessions)
