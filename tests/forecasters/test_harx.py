"""HAR-X: the planted effects are found, none where there is none, loops agree, the future stays out."""

import numpy as np
import pandas as pd
import pytest

from app.dataset import make_windows
from app.dataset.outlook import OUTLOOK
from app.dataset.windows import Windows, WindowSpec
from app.errors import SettingsError
from app.forecasters.baselines import known_windows
from app.forecasters.har import later_log_volatility
from app.forecasters.harx import FURTHEST, HarX, _ridge
from app.schema import LEVELS
from tests import reference
from tests.forecasters.planted import CUTOFF, SLOPES, SPEC, VALIDATION, learning_sets, ranged


@pytest.fixture(scope="module")
def fitted(ranged_sets):
    return HarX().fit(*ranged_sets)


def explained(fitted, ranged_windows) -> np.ndarray:
    """(horizons,) share of the variance of the log volatility to come, over that of EWMA, that is explained."""
    come = later_log_volatility(ranged_windows) - np.log(ranged_windows.volatility)[:, None]
    told = np.log(fitted.of(ranged_windows).expected / ranged_windows.volatility[:, None])
    known = np.isfinite(come).all(axis=1)
    return 1 - ((come - told)[known] ** 2).mean(axis=0) / come[known].var(axis=0)


def test_finds_the_planted_slopes(fitted, ranged_windows):
    """All of x's past weighs 0.9 on x, the day the most; and outside of what was learnt it explains as much."""
    slopes = pd.DataFrame(fitted.slopes, columns=list(OUTLOOK)).iloc[0]
    assert slopes[["day", "week", "month", "quarter", "year"]].sum() == pytest.approx(1.0, abs=0.15)
    np.testing.assert_allclose(slopes[["day", "week", "month"]], SLOPES, atol=0.12)
    later = ranged_windows.originating(np.datetime64(CUTOFF) + 1, np.datetime64("2024-12-01"))
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


def test_it_agrees_with_a_ridge_written_as_loops(fitted, ranged_sets):
    known = known_windows(*ranged_sets)
    inputs = np.nan_to_num(known.panel.outlook[known.ends].astype(float) - fitted.mean)
    moving = inputs.std(axis=0) > 1e-6
    come = later_log_volatility(known) - np.log(known.volatility)[:, None]
    for column in range(2):
        level, slopes = reference.ridge(inputs[:, moving].tolist(), come[:, column].tolist(), 250)
        np.testing.assert_allclose(fitted.slopes[column][moving], slopes, rtol=1e-5, atol=1e-7)
        assert fitted.levels[column] == pytest.approx(level, abs=1e-6)
    assert (fitted.slopes[:, ~moving] == 0).all()
    assert not moving[[OUTLOOK.index("market_day"), OUTLOOK.index("volume")]].any()


def test_more_sessions_without_effect_hold_the_slopes(ranged_sets):
    sizes = [np.abs(HarX(held=held).fit(*ranged_sets).slopes).sum() for held in (0, 250, 100_000)]
    assert sizes[0] > sizes[1] > 5 * sizes[2]


def test_without_an_answer_there_is_no_effect():
    level, slopes = _ridge(np.ones((5, 3)), np.full(5, np.nan), 250)
    assert level == 0
    assert (slopes == 0).all()


def test_a_damaged_row_makes_no_absurd_forecast(fitted, ranged_prices):
    spoilt = ranged_prices.copy()
    last = spoilt["date"] == spoilt["date"].max()
    spoilt.loc[last, "high"] *= 50
    newest = make_windows(spoilt, SPEC, "24/5").newest()
    ratio = fitted.of(newest).expected / newest.volatility[:, None]
    assert np.isfinite(ratio).all()
    assert (ratio <= np.exp(fitted.levels + FURTHEST)).all()


def test_what_is_not_known_is_usual(fitted, ranged_windows):
    """A row without any outlook gets the level, and a forecast."""
    panel = ranged_windows.panel
    blank = Windows(type(panel)(**{**vars(panel), "outlook": np.full_like(panel.outlook, np.nan)}), ranged_windows.ends)
    told = fitted.of(blank).expected
    np.testing.assert_allclose(told, ranged_windows.volatility[:, None] * np.exp(fitted.levels), rtol=1e-12)


def test_volatility_itself_can_be_forecast(ranged_prices):
    windows = make_windows(ranged_prices, WindowSpec(5, (1, 4), "volatility"), "24/5")
    sets = learning_sets(windows, CUTOFF, VALIDATION)
    fitted = HarX().fit(*sets)
    known = known_windows(*sets)
    below = (known.actual[..., None] <= fitted.predict(known)).mean(axis=0)
    np.testing.assert_allclose(below, np.broadcast_to(LEVELS, below.shape), atol=2 / len(known))
    later = windows.originating(np.datetime64(CUTOFF) + 1, np.datetime64("2024-12-01"))
    median = fitted.predict(later)[..., 9]
    assert np.corrcoef(median[:, 0], later.actual[:, 0])[0, 1] > 0.8


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("years", 0, "1 to 100 years"), ("years", 101, "1 to 100 years"), ("held", -1, "0 to 1000000 sessions")],
)
def test_settings_that_make_no_sense_are_refused(name, value, said):
    with pytest.raises(SettingsError, match=rf"harx.{name} must be {said}, got {value}\."):
        HarX(**{name: value})
