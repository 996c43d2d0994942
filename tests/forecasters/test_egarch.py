"""EGARCH: the planted truth is found, the filter is arch's and a loop's, the future stays out."""

from dataclasses import replace

import numpy as np
import pytest
from arch import arch_model
from scipy import stats

from app.dataset import make_windows
from app.dataset.windows import Windows, WindowSpec
from app.errors import SettingsError
from app.forecasters import egarch
from app.forecasters.egarch import UNFITTED, Egarch, FittedEgarch
from app.schema import LEVELS
from tests.forecasters.planted import egarch_returns, learning_sets, price_table, without_future
from tests.reference import egarch_log_variance, egarch_quantiles

SPEC = WindowSpec(lookback=5, horizons=(1, 5, 20))
TRUTH = (0.0004, -0.18, 0.15, -0.10, 0.98, 8.0)
"""mean, omega, alpha, gamma, beta, nu; the log variance is around -9, a volatility of 1.1 % a session."""
CUTOFF, VALIDATION = "2016-12-30", "2015-12-31"


@pytest.fixture(scope="module")
def prices():
    """PLANTED and OTHER follow TRUTH with their own draws; YOUNG has 150 sessions before the cutoff."""
    series = {"PLANTED": egarch_returns(TRUTH, 3600, seed=1), "OTHER": egarch_returns(TRUTH, 3600, seed=2)}
    young = 0.02 * np.random.default_rng(3).normal(size=2087 + 150)
    return price_table({**series, "YOUNG": young})


@pytest.fixture(scope="module")
def windows(prices):
    return make_windows(prices, SPEC, "24/5")


@pytest.fixture(scope="module")
def fitted(windows):
    return Egarch(years=15).fit(*learning_sets(windows, CUTOFF, VALIDATION))


@pytest.fixture(scope="module")
def whole(fitted, windows):
    return fitted.predict(windows)


def absolute(found):
    """mean, omega, alpha, gamma, beta, nu with omega as it is where the log variance is not measured from v."""
    omega = found.omega + (1 - found.beta) * np.log(found.variance)
    return found.mean, omega, found.alpha, found.gamma, found.beta, found.nu


def test_finds_the_planted_dynamics(fitted):
    found = fitted.symbols["PLANTED"]
    assert found.alpha == pytest.approx(0.15, abs=0.05)
    assert found.gamma == pytest.approx(-0.10, abs=0.03)
    assert found.beta == pytest.approx(0.98, abs=0.015)
    assert found.nu == pytest.approx(8, abs=2.5)


def test_forecasts_of_planted_series_keep_what_they_promise(whole, windows):
    test = windows.originating(np.datetime64("2017-01-02"), windows.origin.max()).known_by(windows.origin.max())
    test = Windows(test.panel, test.ends[test.symbol != "YOUNG"])
    below = (test.actual[..., None] <= whole[np.isin(windows.ends, test.ends)]).mean(axis=0)
    assert len(test) > 4000
    np.testing.assert_allclose(below[0], LEVELS, atol=0.037)
    np.testing.assert_allclose(below[1], LEVELS, atol=0.07)


def test_one_session_ahead_is_the_closed_form_and_the_variance_a_loop(whole, fitted, windows):
    """At the symbol's very first origins, too, where the stored start still counts."""
    panel, found = windows.panel, fitted.symbols["PLANTED"]
    origins = windows.of("PLANTED")
    quantiles = whole[windows.symbol == "PLANTED", 0]
    begin = panel.offsets[panel.symbols.index("PLANTED")] + 1
    assert panel.date[begin] == np.datetime64(found.since)
    start = found.start + np.log(found.variance)
    for number in (0, 5, 2500, len(origins) - 1):
        residuals = panel.returns[begin : origins.ends[number] + 1] - found.mean
        variance = np.exp(egarch_log_variance(residuals, start, *absolute(found)[1:5]))
        unit = np.sqrt((found.nu - 2) / found.nu)
        expected = found.mean + np.sqrt(variance) * unit * stats.t.ppf(LEVELS, found.nu)
        np.testing.assert_allclose(quantiles[number], expected, rtol=1e-9)


def test_the_variance_at_the_cutoff_is_what_arch_itself_forecasts(windows):
    train, validation = learning_sets(windows.of("PLANTED"), CUTOFF, VALIDATION)
    fitted = Egarch(years=5).fit(train, validation)
    panel, newest = windows.panel, validation.date[:, -1].max()
    mine = panel.code == panel.symbols.index("PLANTED")
    rows = mine & (panel.date <= newest) & (panel.date > newest - np.timedelta64(1826, "D"))
    model = arch_model(100 * panel.returns[rows], vol="EGARCH", p=1, o=1, q=1, dist="t", rescale=False)
    theirs = model.fit(disp="off").forecast(horizon=1).variance.to_numpy()[-1, 0] / 1e4
    low, high = fitted.predict(windows.of("PLANTED").originating(newest, newest + 1))[0, 0, [0, 18]]
    nu = fitted.symbols["PLANTED"].nu
    sigma = (high - low) / (2 * stats.t.ppf(0.95, nu) * np.sqrt((nu - 2) / nu))
    assert sigma == pytest.approx(np.sqrt(theirs), rel=1e-6)


@pytest.mark.parametrize("calm", [True, False], ids=["calmest", "wildest"])
def test_further_ahead_agrees_with_brute_force_from_one_origin(calm, whole, fitted, windows):
    found = fitted.symbols["PLANTED"]
    planted = np.flatnonzero(windows.symbol == "PLANTED")
    width = np.ptp(whole[planted, 0], axis=1)
    number = int(width.argmin() if calm else width.argmax())
    sigma = width[number] / (2 * stats.t.ppf(0.95, found.nu) * np.sqrt((found.nu - 2) / found.nu))
    quantiles = whole[planted[number]]
    for column, sessions in ((1, 5), (2, 20)):
        expected = egarch_quantiles(2 * np.log(sigma), absolute(found), sessions, LEVELS, paths=200_000, seed=9)
        np.testing.assert_allclose(quantiles[column], expected, atol=0.015 * np.ptp(expected) / 2)


def test_quantiles_rise_and_are_finite(whole, windows):
    assert whole.shape == (len(windows), 3, 19)
    assert np.isfinite(whole).all()
    assert (np.diff(whole, axis=-1) > 0).all()


def test_knows_nothing_of_the_future(fitted, prices, windows):
    """Rows after the cutoff spoilt: parameters and forecasts up to the cutoff stay to the bit."""
    altered = make_windows(without_future(prices, CUTOFF, "noise"), SPEC, "24/5")
    again = Egarch(years=15).fit(*learning_sets(altered, CUTOFF, VALIDATION))
    assert again.symbols == fitted.symbols
    assert again.pooled == fitted.pooled
    first, last = np.datetime64("2016-11-01"), np.datetime64(CUTOFF) + 1
    then, now = (fitted.predict(one.originating(first, last)) for one in (windows, altered))
    assert len(then) > 100
    np.testing.assert_array_equal(now, then)


def test_later_origins_are_filtered_with_fixed_parameters_and_see_no_later_row(fitted, prices, windows):
    """Years after the fit a forecast is that of a panel which ends on its own day."""
    day = "2019-06-28"
    shorter = make_windows(without_future(prices, day, "removed"), SPEC, "24/5")
    origin = np.datetime64(day)
    then, now = (fitted.predict(one.originating(origin, origin + 1)) for one in (windows, shorter))
    assert len(then) == 3
    np.testing.assert_array_equal(now, then)


def test_a_panel_that_begins_elsewhere_changes_no_forecast(fitted, prices, windows):
    origin = np.datetime64("2024-12-31")
    later = make_windows(prices[prices["date"] >= "2013-01-01"], SPEC, "24/5")
    then, now = (fitted.predict(one.of("PLANTED").originating(origin, origin + 1)) for one in (windows, later))
    np.testing.assert_allclose(now, then, rtol=1e-9)


def test_a_forecast_is_the_same_in_any_company(whole, fitted, windows):
    young = int(np.flatnonzero(windows.symbol == "YOUNG")[0])
    for number in (0, 2500, young + 700, len(windows) - 1):
        alone = fitted.predict(Windows(windows.panel, windows.ends[number : number + 1]))
        np.testing.assert_array_equal(alone[0], whole[number])
    assert fitted.predict(Windows(windows.panel, windows.ends[:0])).shape == (0, 3, 19)


def test_saved_and_loaded_gives_identical_forecasts(fitted, windows, tmp_path):
    fitted.save(tmp_path)
    loaded = FittedEgarch.load(tmp_path)
    assert loaded.symbols == fitted.symbols
    np.testing.assert_array_equal(loaded.predict(windows.newest()), fitted.predict(windows.newest()))


def test_a_symbol_without_a_fit_is_forecast_around_its_own_variance(fitted, windows):
    """YOUNG is too short for a fit: the others' medians, as wide as its own 2 % a session."""
    assert set(fitted.symbols) == {"PLANTED", "OTHER"}
    assert fitted.pooled.beta == np.median([fitted.symbols[one].beta for one in ("PLANTED", "OTHER")])
    young = windows.of("YOUNG").originating(np.datetime64("2017-01-02"), np.datetime64("2018-01-02"))
    below = (young.actual[:, 0, None] <= fitted.predict(young)[:, 0]).mean(axis=0)
    np.testing.assert_allclose(below[[1, 9, 17]], [0.1, 0.5, 0.9], atol=0.1)


def test_a_jump_of_half_the_price_leaves_the_variance_finite(whole, fitted, windows):
    """The exponential of a wild return: bounded, and still the widest forecast of all."""
    end = windows.of("PLANTED").newest().ends[0]
    returns = windows.panel.returns.copy()
    returns[end] = -0.7
    shocked = Windows(replace(windows.panel, returns=returns), np.array([end]))
    quantiles = fitted.predict(shocked)
    assert np.isfinite(quantiles).all()
    assert np.ptp(quantiles[0, 0]) > np.ptp(whole[windows.symbol == "PLANTED", 0], axis=1).max()
    assert np.ptp(quantiles[0, 0]) < 4 * np.exp(egarch.FURTHEST / 2) * np.sqrt(fitted.symbols["PLANTED"].variance)


def test_where_no_likelihood_has_a_maximum_usual_values_stand_in(windows, monkeypatch, caplog):
    class Stubborn:
        def fit(self, **_):
            return type("Result", (), {"convergence_flag": 4, "params": np.ones(6)})

    monkeypatch.setattr("arch.arch_model", lambda *args, **kwargs: Stubborn())
    fitted = Egarch().fit(*learning_sets(windows, CUTOFF, VALIDATION))
    assert fitted.pooled == UNFITTED
    assert "egarch: pooled parameters for 3 symbol(s)" in caplog.text
    assert np.isfinite(fitted.predict(windows.newest())).all()


def test_a_missing_return_carries_the_variance_on(fitted, windows):
    end = windows.of("PLANTED").newest().ends[0]
    returns = windows.panel.returns.copy()
    returns[end] = np.nan
    broken = replace(windows.panel, returns=returns)
    then = fitted.predict(Windows(windows.panel, np.array([end - 1])))
    now = fitted.predict(Windows(broken, np.array([end])))
    np.testing.assert_array_equal(now, then)


def test_the_mean_is_shared_unless_told_otherwise(windows):
    sets = learning_sets(windows, CUTOFF, VALIDATION)
    shared, own = Egarch().fit(*sets), Egarch(pooled_mean=False).fit(*sets)
    assert {one.mean for one in shared.symbols.values()} == {shared.pooled.mean}
    assert len({one.mean for one in own.symbols.values()}) == 2


@pytest.mark.parametrize("years", [0, 101])
def test_years_that_make_no_sense_are_refused(years):
    with pytest.raises(SettingsError, match=rf"egarch.years must be 1 to 100 years, got {years}\."):
        Egarch(years=years)
