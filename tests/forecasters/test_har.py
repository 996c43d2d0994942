"""HAR: the planted slopes are found, the fast path is the slow one, the future stays out."""

import numpy as np
import pandas as pd
import pytest

from app.dataset import make_windows
from app.dataset.windows import Windows, WindowSpec
from app.errors import DataError, SettingsError
from app.forecasters import load_fitted, make_recipe, save_fitted
from app.forecasters.baselines import known_windows
from app.forecasters.har import FittedHar, Har
from app.schema import LEVELS
from tests.forecasters.planted import learning_sets, price_table, ranged, without_future
from tests.reference import har_regression

SPEC = WindowSpec(lookback=5, horizons=(1, 4))
CUTOFF, VALIDATION = "2023-06-30", "2022-12-30"
SLOPES, LEVEL = (0.3, 0.3, 0.3), {"CALM": 0.1 * np.log(0.006), "WILD": 0.1 * np.log(0.03)}


@pytest.fixture(scope="module")
def prices():
    """Symbols whose log volatility follows SLOPES from a level of their own, with noise of 0.2."""
    return ranged({"CALM": (LEVEL["CALM"], 2600), "WILD": (LEVEL["WILD"], 2200)}, SLOPES, noise=0.2)


@pytest.fixture(scope="module")
def windows(prices):
    return make_windows(prices, SPEC, "24/5")


@pytest.fixture(scope="module")
def fitted(windows):
    return Har().fit(*learning_sets(windows, CUTOFF, VALIDATION))


def test_finds_the_planted_slopes_and_levels(fitted):
    np.testing.assert_allclose(fitted.slopes[0], SLOPES, atol=0.09)
    assert fitted.slopes[0].sum() == pytest.approx(0.9, abs=0.05)
    for symbol, level in LEVEL.items():
        assert fitted.levels[symbol][0] / (1 - fitted.slopes[0].sum()) == pytest.approx(level / 0.1, abs=0.1)
    np.testing.assert_allclose(fitted.pooled, np.mean(list(fitted.levels.values()), axis=0))


def test_it_agrees_with_normal_equations_written_as_loops(fitted, prices, windows):
    known = known_windows(*learning_sets(windows, CUTOFF, VALIDATION))
    expected = har_regression(prices, known.symbol, known.origin, SPEC.horizons)
    for column, (slopes, levels) in enumerate(expected):
        np.testing.assert_allclose(fitted.slopes[column], slopes, rtol=1e-3)
        np.testing.assert_allclose([fitted.levels[one][column] for one in ("CALM", "WILD")], levels, rtol=1e-3)


def test_quantiles_are_those_the_past_has_had(fitted, windows):
    known = known_windows(*learning_sets(windows, CUTOFF, VALIDATION))
    below = (known.actual[..., None] <= fitted.predict(known)).mean(axis=0)
    np.testing.assert_allclose(below, np.broadcast_to(LEVELS, below.shape), atol=2 / len(known))


def test_quantiles_rise_and_are_finite(fitted, windows):
    quantiles = fitted.predict(windows)
    assert quantiles.shape == (len(windows), 2, 19)
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=-1) > 0).all()


def test_a_wider_day_widens_the_forecast(fitted, prices):
    table = prices.copy()
    last = table["date"] == table["date"].max()
    table.loc[last, "high"] *= 1.05
    calm, wide = (fitted.predict(make_windows(one, SPEC, "24/5").newest()) for one in (prices, table))
    assert (np.ptp(wide, axis=-1) > 1.1 * np.ptp(calm, axis=-1)).all()


@pytest.mark.parametrize("change", ["removed", "noise"])
def test_knows_nothing_of_the_future(change, fitted, prices, windows):
    """Rows after the cutoff gone or spoilt: the fit, and forecasts up to the cutoff, stay to the bit."""
    altered = make_windows(without_future(prices, CUTOFF, change), SPEC, "24/5")
    again = Har().fit(*learning_sets(altered, CUTOFF, VALIDATION))
    first, last = np.datetime64("2023-06-01"), np.datetime64(CUTOFF) + 1
    then, now = (model.predict(one.originating(first, last)) for model, one in ((fitted, windows), (again, altered)))
    assert len(then) > 40
    np.testing.assert_array_equal(now, then)


def test_a_session_that_is_missing_is_not_made_up_for_by_a_later_one(prices, windows):
    """Four rows ahead would be five sessions ahead: what is known of the target must not come from after it."""
    day = np.datetime64(CUTOFF) - 2
    holed = make_windows(prices[prices["date"] != day], SPEC, "24/5")
    short = make_windows(without_future(prices[prices["date"] != day], CUTOFF, "noise"), SPEC, "24/5")
    one, other = (Har().fit(*learning_sets(each, CUTOFF, VALIDATION)) for each in (holed, short))
    np.testing.assert_array_equal(one.slopes, other.slopes)


def test_only_the_newest_years_are_fitted(prices, windows):
    recent = prices[prices["date"] >= "2020-01-01"]
    sets = learning_sets(windows, CUTOFF, VALIDATION)
    few = Har(years=2).fit(*sets)
    np.testing.assert_allclose(
        few.slopes, Har(years=2).fit(*learning_sets(make_windows(recent, SPEC, "24/5"), CUTOFF, VALIDATION)).slopes
    )
    assert not np.allclose(few.slopes, Har(years=10).fit(*sets).slopes)


def test_a_symbol_never_seen_gets_the_mean_level(fitted):
    stranger = make_windows(ranged({"NEW": (-4.0 * 0.1, 300)}, SLOPES, noise=0.2), SPEC, "24/5").newest()
    assert np.isfinite(fitted.predict(stranger)).all()
    at = FittedHar(fitted.horizons, fitted.slopes, {"NEW": fitted.pooled}, fitted.pooled * 0, fitted.quantiles)
    np.testing.assert_array_equal(at.predict(stranger), fitted.predict(stranger))


def test_a_symbol_without_one_whole_stretch_ahead_gets_the_mean_level_and_does_not_move_it(prices):
    """Its days have gaps, so no 4 sessions in a row are known."""
    holes = ranged({"HOLES": (LEVEL["CALM"], 2000)}, SLOPES, noise=0.2)
    holes = holes[np.arange(len(holes)) % 4 != 3]
    spec = WindowSpec(lookback=5, horizons=(1, 4))
    both = make_windows(pd.concat([prices, holes], ignore_index=True), spec, "24/5")
    fitted = Har().fit(*learning_sets(both, CUTOFF, VALIDATION))
    known = np.array([fitted.levels[name] for name in ("CALM", "WILD")])
    assert fitted.levels["HOLES"][1] == pytest.approx(known[:, 1].mean())
    assert fitted.levels["HOLES"][0] != pytest.approx(known[:, 0].mean())


def test_a_forecast_is_the_same_in_any_company(fitted, windows):
    whole = fitted.predict(windows)
    for number in (0, 1, 300, len(windows) - 1):
        alone = fitted.predict(Windows(windows.panel, windows.ends[number : number + 1]))
        np.testing.assert_array_equal(alone[0], whole[number])
    assert fitted.predict(Windows(windows.panel, windows.ends[:0])).shape == (0, 2, 19)


def test_saved_and_loaded_by_name_gives_identical_forecasts(fitted, windows, tmp_path):
    save_fitted("har", make_recipe("har", {"har": Har()}), fitted, tmp_path)
    np.testing.assert_array_equal(load_fitted(tmp_path).predict(windows), fitted.predict(windows))


def test_other_horizons_are_refused(fitted, prices):
    other = make_windows(prices, WindowSpec(5, (1, 2)), "24/5")
    with pytest.raises(DataError, match=r"har was fitted for horizons \[1, 4\], asked for \[1, 2\]"):
        fitted.predict(other)


def test_a_symbol_that_never_moves_gets_a_forecast():
    table = price_table({"STILL": np.zeros(80), "MOVES": 0.01 * np.random.default_rng(0).normal(size=80)})
    table.loc[table["symbol"] == "STILL", ["high", "low"]] = 50.0
    windows = make_windows(table, SPEC, "24/5")
    assert np.isfinite(Har().fit(windows, windows).predict(windows)).all()


@pytest.mark.parametrize("years", [0, 101])
def test_years_that_make_no_sense_are_refused(years):
    with pytest.raises(SettingsError, match=rf"har.years must be 1 to 100 years, got {years}\."):
        Har(years=years)
