"""HAR: the planted slopes are found, the fast path is the slow one, the future stays out."""

import numpy as np
import pandas as pd
import pytest

from app.dataset import make_windows
from app.dataset.windows import WindowSpec
from app.errors import SettingsError
from app.forecasters.baselines import known_windows
from app.forecasters.har import FittedHar, Har
from tests.forecasters.planted import CUTOFF, LEVELS_OF, SLOPES, SPEC, VALIDATION, learning_sets, ranged, without_future
from tests.reference import har_regression


@pytest.fixture(scope="module")
def fitted(ranged_sets):
    return Har().fit(*ranged_sets)


def test_finds_the_planted_slopes_and_levels(fitted):
    np.testing.assert_allclose(fitted.slopes[0], SLOPES, atol=0.09)
    assert fitted.slopes[0].sum() == pytest.approx(0.9, abs=0.05)
    for symbol, level in LEVELS_OF.items():
        assert fitted.levels[symbol][0] / (1 - fitted.slopes[0].sum()) == pytest.approx(level / 0.1, abs=0.1)
    np.testing.assert_allclose(fitted.pooled, np.mean(list(fitted.levels.values()), axis=0))


def test_it_agrees_with_normal_equations_written_as_loops(fitted, ranged_prices, ranged_sets):
    known = known_windows(*ranged_sets)
    expected = har_regression(ranged_prices, known.symbol, known.origin, SPEC.horizons)
    for column, (slopes, levels) in enumerate(expected):
        np.testing.assert_allclose(fitted.slopes[column], slopes, rtol=1e-3)
        np.testing.assert_allclose([fitted.levels[one][column] for one in ("CALM", "WILD")], levels, rtol=1e-3)


def test_a_wider_day_widens_the_forecast(fitted, ranged_prices):
    table = ranged_prices.copy()
    last = table["date"] == table["date"].max()
    table.loc[last, "high"] *= 1.05
    calm, wide = (fitted.predict(make_windows(one, SPEC, "24/5").newest()) for one in (ranged_prices, table))
    assert (np.ptp(wide, axis=-1) > 1.1 * np.ptp(calm, axis=-1)).all()


def test_a_session_that_is_missing_is_not_made_up_for_by_a_later_one(ranged_prices):
    """Four rows ahead would be five sessions ahead: what is known of the target must not come from after it."""
    day = np.datetime64(CUTOFF) - 2
    holed = make_windows(ranged_prices[ranged_prices["date"] != day], SPEC, "24/5")
    short = make_windows(without_future(ranged_prices[ranged_prices["date"] != day], CUTOFF, "noise"), SPEC, "24/5")
    one, other = (Har().fit(*learning_sets(each, CUTOFF, VALIDATION)) for each in (holed, short))
    np.testing.assert_array_equal(one.slopes, other.slopes)


def test_a_symbol_never_seen_gets_the_mean_level(fitted):
    stranger = make_windows(ranged({"NEW": (-4.0 * 0.1, 300)}, SLOPES, noise=0.2), SPEC, "24/5").newest()
    assert np.isfinite(fitted.predict(stranger)).all()
    at = FittedHar(fitted.horizons, fitted.slopes, {"NEW": fitted.pooled}, fitted.pooled * 0, fitted.quantiles)
    np.testing.assert_array_equal(at.predict(stranger), fitted.predict(stranger))


def test_a_symbol_without_one_whole_stretch_ahead_gets_the_mean_level_and_does_not_move_it(ranged_prices):
    """Its days have gaps, so no 4 sessions in a row are known."""
    holes = ranged({"HOLES": (LEVELS_OF["CALM"], 2000)}, SLOPES, noise=0.2)
    holes = holes[np.arange(len(holes)) % 4 != 3]
    spec = WindowSpec(lookback=5, horizons=(1, 4))
    both = make_windows(pd.concat([ranged_prices, holes], ignore_index=True), spec, "24/5")
    fitted = Har().fit(*learning_sets(both, CUTOFF, VALIDATION))
    known = np.array([fitted.levels[name] for name in ("CALM", "WILD")])
    assert fitted.levels["HOLES"][1] == pytest.approx(known[:, 1].mean())
    assert fitted.levels["HOLES"][0] != pytest.approx(known[:, 0].mean())


@pytest.mark.parametrize("years", [0, 101])
def test_years_that_make_no_sense_are_refused(years):
    with pytest.raises(SettingsError, match=rf"har.years must be 1 to 100 years, got {years}\."):
        Har(years=years)
