"""GARCH: the planted truth is found, the fast path is the slow one, the future stays out."""

import logging
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from arch import arch_model
from scipy import stats

from app.dataset import make_windows
from app.dataset.windows import Windows, WindowSpec
from app.errors import SettingsError
from app.forecasters import simulation
from app.forecasters.garch import RISKMETRICS, Dynamics, FittedGarch, Garch
from app.schema import LEVELS
from tests.forecasters.planted import gjr_returns, learning_sets, price_table, without_future
from tests.reference import garch_quantiles, garch_variance

SPEC = WindowSpec(lookback=5, horizons=(1, 5, 20))
TRUTH = (0.0004, 2e-6, 0.03, 0.10, 0.90, 6.0)
"""mean, omega, alpha, gamma, beta, nu."""
CUTOFF, VALIDATION = "2016-12-30", "2015-12-31"


@pytest.fixture(scope="module")
def prices():
    """PLANTED and OTHER follow TRUTH with their own draws; YOUNG has 150 sessions before the cutoff."""
    series = {"PLANTED": gjr_returns(TRUTH, 4500, seed=1), "OTHER": gjr_returns(TRUTH, 4500, seed=2)}
    after = len(pd.bdate_range(CUTOFF, "2024-12-31")) - 1
    return price_table({**series, "YOUNG": 0.02 * np.random.default_rng(3).normal(size=after + 150)})


@pytest.fixture(scope="module")
def windows(prices):
    return make_windows(prices, SPEC, "24/5")


@pytest.fixture(scope="module")
def fitted(windows):
    return Garch(asymmetric=True, years=15).fit(*learning_sets(windows, CUTOFF, VALIDATION))


def alone(windows: Windows, number: int) -> Windows:
    return Windows(windows.panel, windows.ends[number : number + 1])


def test_finds_the_planted_dynamics(fitted):
    found = fitted.symbols["PLANTED"]
    assert found.alpha + found.gamma / 2 + found.beta == pytest.approx(0.98, abs=0.02)
    assert found.beta == pytest.approx(0.90, abs=0.04)
    assert found.gamma == pytest.approx(0.10, abs=0.05)
    assert found.nu == pytest.approx(6, abs=1.5)
    assert found.omega * found.variance == pytest.approx(2e-6, rel=0.7)


def test_forecasts_of_planted_series_keep_what_they_promise(fitted, windows):
    """Out of sample, each level is undershot about as often as it says.

    Tolerances are 4 standard deviations over such pairs of series when the true dynamics forecast:
    with 2,000 overlapping targets a series they are this wide, and grow with the horizon.
    """
    test = windows.originating(np.datetime64("2017-01-02"), windows.origin.max()).known_by(windows.origin.max())
    test = Windows(test.panel, test.ends[test.symbol != "YOUNG"])
    below = (test.actual[..., None] <= fitted.predict(test)).mean(axis=0)
    assert len(test) > 4000
    np.testing.assert_allclose(below[0], LEVELS, atol=0.037)
    np.testing.assert_allclose(below[1], LEVELS, atol=0.07)


def test_the_true_dynamics_forecast_true_probabilities_at_every_horizon():
    """No fit, so no error of estimation: 12 series of 2,000 origins; tolerances are again 4 standard deviations."""
    mean, omega, alpha, gamma, beta, nu = TRUTH
    variance = omega / (1 - alpha - gamma / 2 - beta)
    true = Dynamics(mean, omega / variance, alpha, gamma, beta, nu, variance=variance)
    prices = price_table({f"S{seed}": gjr_returns(TRUTH, 2400, seed) for seed in range(100, 112)})
    windows = make_windows(prices, SPEC, "24/5")
    test = windows.originating(windows.origin.min() + 500, windows.origin.max()).known_by(windows.origin.max())
    below = (test.actual[..., None] <= FittedGarch("gjr-garch", {}, true).predict(test)).mean(axis=0)
    for column, tolerance in enumerate((0.015, 0.028, 0.057)):
        np.testing.assert_allclose(below[column], LEVELS, atol=tolerance)


def test_one_session_ahead_is_the_closed_form_and_the_variance_a_loop(fitted, windows):
    """At the symbol's very first origins, too, where the stored start still counts."""
    panel, found = windows.panel, fitted.symbols["PLANTED"]
    origins = windows.of("PLANTED")
    quantiles = fitted.predict(origins)[:, 0]
    begin = panel.offsets[panel.symbols.index("PLANTED")] + 1
    assert panel.date[begin] == np.datetime64(found.since)
    for number in (0, 5, 2500, len(origins) - 1):
        residuals = panel.returns[begin : origins.ends[number] + 1] - found.mean
        start, omega = found.start * found.variance, found.omega * found.variance
        variance = garch_variance(residuals, start, omega, found.alpha, found.gamma, found.beta)
        unit = np.sqrt((found.nu - 2) / found.nu)
        expected = found.mean + np.sqrt(variance) * unit * stats.t.ppf(LEVELS, found.nu)
        np.testing.assert_allclose(quantiles[number], expected, rtol=1e-9)


@pytest.mark.parametrize("asymmetric", [False, True])
def test_the_variance_at_the_cutoff_is_what_arch_itself_forecasts(asymmetric, windows):
    train, validation = learning_sets(windows.of("PLANTED"), CUTOFF, VALIDATION)
    fitted = Garch(asymmetric, years=5).fit(train, validation)
    panel, newest = windows.panel, validation.date[:, -1].max()
    mine = panel.code == panel.symbols.index("PLANTED")
    rows = mine & (panel.date <= newest) & (panel.date > newest - np.timedelta64(1826, "D"))
    model = arch_model(100 * panel.returns[rows], vol="GARCH", p=1, o=int(asymmetric), q=1, dist="t", rescale=False)
    theirs = model.fit(disp="off").forecast(horizon=1).variance.to_numpy()[-1, 0] / 1e4
    origin = windows.of("PLANTED").originating(newest, newest + 1)
    low, high = fitted.predict(origin)[0, 0, [0, 18]]
    nu = fitted.symbols["PLANTED"].nu
    sigma = (high - low) / (2 * stats.t.ppf(0.95, nu) * np.sqrt((nu - 2) / nu))
    assert sigma == pytest.approx(np.sqrt(theirs), rel=1e-6)


@pytest.mark.parametrize("calm", [True, False], ids=["calmest", "wildest"])
def test_further_ahead_agrees_with_brute_force_from_one_origin(calm, fitted, windows):
    found = fitted.symbols["PLANTED"]
    test = windows.of("PLANTED").originating(np.datetime64("2017-01-02"), windows.origin.max())
    width = np.ptp(fitted.predict(test)[:, 0], axis=1)
    number = int(width.argmin() if calm else width.argmax())
    sigma = width[number] / (2 * stats.t.ppf(0.95, found.nu) * np.sqrt((found.nu - 2) / found.nu))
    dynamics = (found.mean, found.omega * found.variance, found.alpha, found.gamma, found.beta, found.nu)
    quantiles = fitted.predict(alone(test, number))[0]
    for column, sessions in ((1, 5), (2, 20)):
        expected = garch_quantiles(sigma**2, dynamics, sessions, LEVELS, paths=400_000, seed=9)
        np.testing.assert_allclose(quantiles[column], expected, atol=0.012 * np.ptp(expected) / 2)


def test_without_dynamics_a_sum_is_a_sum_of_independent_draws():
    """alpha = gamma = beta = 0 and nearly normal: the quantiles are z(level) sqrt(h)."""
    still = Dynamics(mean=0.0, omega=1.0, alpha=0.0, gamma=0.0, beta=0.0, nu=500.0, variance=1e-4)
    shapes = simulation.shapes(still.step_from, still.nu, np.array([1.0]), (1, 5, 20), simulation.normal_scores(20))
    expected = np.sqrt(np.array([[1.0], [5.0], [20.0]])) * stats.norm.ppf(LEVELS)
    np.testing.assert_allclose(shapes[0], expected, atol=0.03 * np.sqrt(20))


def test_quantiles_rise_and_are_finite(fitted, windows):
    quantiles = fitted.predict(windows)
    assert quantiles.shape == (len(windows), 3, 19)
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=-1) > 0).all()


@pytest.mark.parametrize("ratio", [1e-6, 1 / 8, 16.0, 1e6])
def test_beyond_the_nodes_the_outermost_shape_is_used(ratio):
    dynamics = Dynamics(0.0, 0.02, 0.03, 0.1, 0.9, 5.0)
    shapes = simulation.shapes(dynamics.step_from, dynamics.nu, np.array([ratio]), (1, 5), simulation.normal_scores(5))
    assert np.isfinite(shapes).all()
    assert (np.diff(shapes, axis=-1) > 0).all()


@pytest.mark.parametrize("change", ["removed", "noise"])
def test_knows_nothing_of_the_future(change, fitted, prices, windows):
    """Rows after the cutoff gone or spoilt: parameters and forecasts up to the cutoff stay to the bit."""
    altered = make_windows(without_future(prices, CUTOFF, change), SPEC, "24/5")
    again = Garch(asymmetric=True, years=15).fit(*learning_sets(altered, CUTOFF, VALIDATION))
    assert again.symbols == fitted.symbols
    assert again.pooled == fitted.pooled
    first, last = np.datetime64("2016-11-01"), np.datetime64(CUTOFF) + 1
    then, now = (fitted.predict(one.originating(first, last)) for one in (windows, altered))
    assert len(then) > 100
    np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("day", ["2017-03-01", "2024-12-31"])
def test_a_panel_that_begins_elsewhere_changes_no_forecast(day, fitted, prices, windows):
    """Daily use reads fewer years: the recursion has forgotten its start after some hundred sessions."""
    origin = np.datetime64(day)
    later = make_windows(prices[prices["date"] >= "2013-01-01"], SPEC, "24/5")
    then, now = (fitted.predict(one.of("PLANTED").originating(origin, origin + 1)) for one in (windows, later))
    np.testing.assert_allclose(now, then, rtol=1e-9)


def test_the_recursion_starts_on_its_date_not_in_a_row(prices, windows):
    """Two months after that date, years of earlier rows or none make no difference to the bit."""
    fitted = Garch(asymmetric=True, years=5).fit(*learning_sets(windows, CUTOFF, VALIDATION))
    assert fitted.symbols["PLANTED"].since == "2012-01-02"
    later = make_windows(prices[prices["date"] >= "2011-10-03"], SPEC, "24/5")
    first, last = np.datetime64("2012-02-01"), np.datetime64("2012-04-01")
    then, now = (fitted.predict(one.of("PLANTED").originating(first, last)) for one in (windows, later))
    assert len(then) > 40
    np.testing.assert_array_equal(now, then)


def test_a_forecast_is_the_same_in_any_company(fitted, windows):
    whole = fitted.predict(windows)
    young = int(np.flatnonzero(windows.symbol == "YOUNG")[0])
    for number in (0, 2500, young, young + 700, len(windows) - 1):
        np.testing.assert_array_equal(fitted.predict(alone(windows, number))[0], whole[number])
    assert fitted.predict(Windows(windows.panel, windows.ends[:0])).shape == (0, 3, 19)


def test_saved_and_loaded_gives_identical_forecasts(fitted, windows, tmp_path):
    fitted.save(tmp_path)
    loaded = FittedGarch.load(tmp_path)
    assert loaded.symbols == fitted.symbols
    np.testing.assert_array_equal(loaded.predict(windows), fitted.predict(windows))


def test_a_symbol_too_young_gets_the_others_parameters_and_one_warning(prices, windows, caplog):
    with caplog.at_level(logging.WARNING):
        fitted = Garch(asymmetric=True).fit(*learning_sets(windows, CUTOFF, VALIDATION))
    assert [record.message for record in caplog.records] == [
        "gjr-garch: pooled parameters for 1 symbol(s) without a fit: YOUNG."
    ]
    assert set(fitted.symbols) == {"PLANTED", "OTHER"}
    assert fitted.pooled.beta == np.median([fitted.symbols[one].beta for one in ("PLANTED", "OTHER")])
    assert fitted.pooled.omega == pytest.approx(1 - fitted.pooled.alpha - fitted.pooled.gamma / 2 - fitted.pooled.beta)
    young = windows.of("YOUNG").originating(np.datetime64("2017-01-02"), np.datetime64("2018-01-02"))
    below = (young.actual[:, 0, None] <= fitted.predict(young)[:, 0]).mean(axis=0)
    np.testing.assert_allclose(below[[1, 9, 17]], [0.1, 0.5, 0.9], atol=0.1)


def test_a_symbol_never_seen_is_forecast_around_its_own_variance(fitted):
    """Steady steps of 5 %, whatever the others do: the forecast is about as wide."""
    stranger = make_windows(price_table({"NEW": 0.05 * np.random.default_rng(4).normal(size=400)}), SPEC, "24/5")
    width = fitted.predict(stranger.newest())[0, 0, 18] - fitted.predict(stranger.newest())[0, 0, 0]
    assert width == pytest.approx(2 * 1.6 * 0.05, rel=0.35)


def test_where_no_likelihood_has_a_maximum_riskmetrics_stands_in(windows, monkeypatch, caplog):
    starts = []

    class Stubborn:
        def fit(self, starting_values, **_):
            starts.append(starting_values)
            return type("Result", (), {"convergence_flag": 4, "params": np.ones(6)})

    monkeypatch.setattr("arch.arch_model", lambda *args, **kwargs: Stubborn())
    fitted = Garch().fit(*learning_sets(windows, CUTOFF, VALIDATION))
    assert len(starts) == 4  # two for each of the two symbols that are long enough
    assert starts[0] is None
    assert len(starts[1]) == 5
    assert fitted.pooled == RISKMETRICS
    assert "pooled parameters for 3 symbol(s)" in caplog.text
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
    shared, own = Garch().fit(*sets), Garch(pooled_mean=False).fit(*sets)
    assert {one.mean for one in shared.symbols.values()} == {shared.pooled.mean}
    assert shared.pooled.mean == np.median([one.mean for one in own.symbols.values()])
    assert len({one.mean for one in own.symbols.values()}) == 2


@pytest.mark.parametrize("years", [0, 101])
def test_years_that_make_no_sense_are_refused(years):
    with pytest.raises(SettingsError, match=rf"garch.years must be 1 to 100 years, got {years}\."):
        Garch(years=years)
