"""HAR-X: the planted effects are found, none where there is none, loops agree, the future stays out."""

import numpy as np
import pandas as pd
import pytest

from app.dataset import make_windows
from app.dataset.outlook import OUTLOOK
from app.dataset.windows import Windows, WindowSpec
from app.errors import DataError, SettingsError
from app.forecasters import load_fitted, make_recipe, save_fitted
from app.forecasters.baselines import known_windows
from app.forecasters.har import later_log_volatility
from app.forecasters.harx import FURTHEST, FittedHarX, HarX, _ridge
from app.schema import LEVELS
from tests import reference
from tests.forecasters.planted import learning_sets, price_table, ranged, without_future

SPEC = WindowSpec(lookback=5, horizons=(1, 4))
CUTOFF, VALIDATION = "2023-06-30", "2022-12-30"
SLOPES = (0.3, 0.3, 0.3)


@pytest.fixture(scope="module")
def prices():
    """Symbols whose log volatility follows SLOPES from a level of their own, with noise of 0.2."""
    return ranged({"CALM": (0.1 * np.log(0.006), 2600), "WILD": (0.1 * np.log(0.03), 2200)}, SLOPES, noise=0.2)


@pytest.fixture(scope="module")
def windows(prices):
    return make_windows(prices, SPEC, "24/5")


@pytest.fixture(scope="module")
def sets(windows):
    return learning_sets(windows, CUTOFF, VALIDATION)


@pytest.fixture(scope="module")
def fitted(sets):
    return HarX().fit(*sets)


def explained(fitted, windows) -> np.ndarray:
    """(horizons,) share of the variance of the log volatility to come, over that of EWMA, that is explained."""
    come = later_log_volatility(windows) - np.log(windows.volatility)[:, None]
    told = np.log(fitted.of(windows).expected / windows.volatility[:, None])
    known = np.isfinite(come).all(axis=1)
    return 1 - ((come - told)[known] ** 2).mean(axis=0) / come[known].var(axis=0)


def test_finds_the_planted_slopes(fitted, windows):
    """All of x's past weighs 0.9 on x, the day the most; and outside of what was learnt it explains as much."""
    slopes = pd.DataFrame(fitted.slopes, columns=list(OUTLOOK)).iloc[0]
    assert slopes[["day", "week", "month", "quarter", "year"]].sum() == pytest.approx(1.0, abs=0.15)
    np.testing.assert_allclose(slopes[["day", "week", "month"]], SLOPES, atol=0.12)
    later = windows.originating(np.datetime64(CUTOFF) + 1, np.datetime64("2024-12-01"))
    assert (explained(fitted, later) > 0.5).all()


def test_a_planted_earnings_day_is_foreseen():
    """Every 91 days one session is three times as wide; the day before, and only for the next session, it is told."""
    prices = ranged({name: (np.log(0.01), 2600) for name in ("A", "B", "C")}, (0, 0, 0), noise=0.1)
    number = (prices["date"] - prices["date"].min()).dt.days
    wide = (number % 91 == 30) & (prices["date"].dt.day_of_week < 5)
    assert wide.groupby(prices["symbol"]).sum().min() > 30
    prices["high"] = np.where(wide, prices["high"] * 1.02, prices["high"])
    prices["low"] = np.where(wide, prices["low"] / 1.02, prices["low"])
    windows = make_windows(prices, SPEC, "24/5")
    fitted = HarX().fit(*learning_sets(windows, CUTOFF, VALIDATION))
    later = windows.originating(np.datetime64(CUTOFF) + 1, np.datetime64("2024-12-01"))
    told = fitted.of(later).expected / later.volatility[:, None]
    eve = ((later.date[:, 0] - prices["date"].min().to_datetime64().astype("datetime64[D]")).astype(int) % 91) == 30
    assert told[eve, 0].mean() > 1.5 * told[~eve, 0].mean()
    assert np.argmax(np.abs(fitted.slopes[0])) == OUTLOOK.index("last_quarters_day")


def test_nothing_is_found_where_there_is_nothing():
    """Independent ranges: what is known beyond their mean level explains nothing outside of what was learnt."""
    prices = ranged({"A": (np.log(0.01), 2600), "B": (np.log(0.01), 2600)}, (0, 0, 0), noise=0.3)
    windows = make_windows(prices, SPEC, "24/5")
    fitted = HarX().fit(*learning_sets(windows, CUTOFF, VALIDATION))
    later = windows.originating(np.datetime64(CUTOFF) + 1, np.datetime64("2024-12-01"))
    spread = np.log(fitted.of(later).expected).std(axis=0)
    assert (spread < 0.1).all()


def test_it_agrees_with_a_ridge_written_as_loops(fitted, sets):
    known = known_windows(*sets)
    inputs = np.nan_to_num(known.panel.outlook[known.ends].astype(float) - fitted.mean)
    moving = inputs.std(axis=0) > 1e-6
    come = later_log_volatility(known) - np.log(known.volatility)[:, None]
    for column in range(2):
        level, slopes = reference.ridge(inputs[:, moving].tolist(), come[:, column].tolist(), 250)
        np.testing.assert_allclose(fitted.slopes[column][moving], slopes, rtol=1e-5, atol=1e-7)
        assert fitted.levels[column] == pytest.approx(level, abs=1e-6)
    assert (fitted.slopes[:, ~moving] == 0).all()
    assert not moving[[OUTLOOK.index("market_day"), OUTLOOK.index("volume")]].any()


def test_more_sessions_without_effect_hold_the_slopes(sets):
    sizes = [np.abs(HarX(held=held).fit(*sets).slopes).sum() for held in (0, 250, 100_000)]
    assert sizes[0] > sizes[1] > 5 * sizes[2]


def test_without_an_answer_there_is_no_effect():
    level, slopes = _ridge(np.ones((5, 3)), np.full(5, np.nan), 250)
    assert level == 0
    assert (slopes == 0).all()


def test_quantiles_are_those_the_past_has_had(fitted, sets):
    known = known_windows(*sets)
    below = (known.actual[..., None] <= fitted.predict(known)).mean(axis=0)
    np.testing.assert_allclose(below, np.broadcast_to(LEVELS, below.shape), atol=2 / len(known))


@pytest.mark.parametrize("change", ["removed", "noise"])
def test_knows_nothing_of_the_future(change, fitted, prices, windows):
    """Rows after the cutoff gone or spoilt: the fit, and forecasts up to the cutoff, stay to the bit."""
    altered = make_windows(without_future(prices, CUTOFF, change), SPEC, "24/5")
    again = HarX().fit(*learning_sets(altered, CUTOFF, VALIDATION))
    first, last = np.datetime64("2023-06-01"), np.datetime64(CUTOFF) + 1
    then, now = (model.predict(one.originating(first, last)) for model, one in ((fitted, windows), (again, altered)))
    assert len(then) > 40
    np.testing.assert_array_equal(now, then)


def test_only_the_newest_years_are_fitted(prices, sets):
    recent = make_windows(prices[prices["date"] >= "2018-01-01"], SPEC, "24/5")
    few = HarX(years=2).fit(*sets)
    np.testing.assert_allclose(few.slopes, HarX(years=2).fit(*learning_sets(recent, CUTOFF, VALIDATION)).slopes)
    assert not np.allclose(few.slopes, HarX(years=10).fit(*sets).slopes)


def test_a_damaged_row_makes_no_absurd_forecast(fitted, prices):
    spoilt = prices.copy()
    last = spoilt["date"] == spoilt["date"].max()
    spoilt.loc[last, "high"] *= 50
    newest = make_windows(spoilt, SPEC, "24/5").newest()
    ratio = fitted.of(newest).expected / newest.volatility[:, None]
    assert np.isfinite(ratio).all()
    assert (ratio <= np.exp(fitted.levels + FURTHEST)).all()


def test_what_is_not_known_is_usual(fitted, windows):
    """A row without any outlook gets the level, and a forecast."""
    panel = windows.panel
    blank = Windows(type(panel)(**{**vars(panel), "outlook": np.full_like(panel.outlook, np.nan)}), windows.ends)
    told = fitted.of(blank).expected
    np.testing.assert_allclose(told, windows.volatility[:, None] * np.exp(fitted.levels), rtol=1e-12)


def test_a_forecast_is_the_same_in_any_company(fitted, windows):
    whole = fitted.predict(windows)
    for number in (0, 1, 300, len(windows) - 1):
        alone = fitted.predict(Windows(windows.panel, windows.ends[number : number + 1]))
        np.testing.assert_array_equal(alone[0], whole[number])
    assert fitted.predict(Windows(windows.panel, windows.ends[:0])).shape == (0, 2, 19)


def test_saved_and_loaded_by_name_gives_identical_forecasts(fitted, windows, tmp_path):
    save_fitted("har-x", make_recipe("har-x", {"harx": HarX()}), fitted, tmp_path)
    again = load_fitted(tmp_path)
    assert isinstance(again, FittedHarX)
    np.testing.assert_array_equal(again.predict(windows), fitted.predict(windows))


def test_volatility_itself_can_be_forecast(prices):
    windows = make_windows(prices, WindowSpec(5, (1, 4), "volatility"), "24/5")
    sets = learning_sets(windows, CUTOFF, VALIDATION)
    fitted = HarX().fit(*sets)
    known = known_windows(*sets)
    below = (known.actual[..., None] <= fitted.predict(known)).mean(axis=0)
    np.testing.assert_allclose(below, np.broadcast_to(LEVELS, below.shape), atol=2 / len(known))
    later = windows.originating(np.datetime64(CUTOFF) + 1, np.datetime64("2024-12-01"))
    median = fitted.predict(later)[..., 9]
    assert np.corrcoef(median[:, 0], later.actual[:, 0])[0, 1] > 0.8


def test_other_horizons_are_refused(fitted, prices):
    other = make_windows(prices, WindowSpec(5, (1, 2)), "24/5")
    with pytest.raises(DataError, match=r"har-x was fitted for horizons \[1, 4\], asked for \[1, 2\]"):
        fitted.predict(other)


def test_a_symbol_that_never_moves_gets_a_forecast():
    table = price_table({"STILL": np.zeros(80), "MOVES": 0.01 * np.random.default_rng(0).normal(size=80)})
    table.loc[table["symbol"] == "STILL", ["high", "low"]] = 50.0
    windows = make_windows(table, SPEC, "24/5")
    assert np.isfinite(HarX().fit(windows, windows).predict(windows)).all()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("years", 0, "1 to 100 years"), ("years", 101, "1 to 100 years"), ("held", -1, "0 to 1000000 sessions")],
)
def test_settings_that_make_no_sense_are_refused(name, value, said):
    with pytest.raises(SettingsError, match=rf"harx.{name} must be {said}, got {value}\."):
        HarX(**{name: value})
