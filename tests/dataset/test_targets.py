"""Targets by name: the number that each asks for, when it is known, and what its numbers are measured in."""

import numpy as np
import pandas as pd
import pytest

from app.dataset import make_windows, what_happened
from app.dataset.targets import TARGETS, target
from app.dataset.windows import WindowSpec
from app.errors import SettingsError
from app.forecasters import TARGET_NAMES

VOLATILITY = WindowSpec(lookback=10, horizons=(1, 5), target="volatility")


@pytest.fixture
def windows(prices):
    return make_windows(prices, VOLATILITY)


def test_realised_volatility_by_hand(prices, windows):
    """UP closed at 99 + t, then goes up to 101 + t and down to 99 + t: the true range is the log ratio of these."""
    up = windows.of("UP")
    t = np.searchsorted(prices.loc[prices["symbol"] == "UP", "date"].to_numpy(), up.origin[7]) + np.arange(1, 6)
    squares = np.log((101.0 + t) / (99.0 + t)) ** 2 / (4 * np.log(2))
    assert up.actual[7] == pytest.approx([np.log(np.sqrt(squares[0])), np.log(np.sqrt(squares.mean()))])


def test_the_newest_volatility_is_not_known_and_no_target_is_told_before_its_session(windows, prices):
    newest = windows.newest()
    assert np.isnan(newest.actual).all()
    day = np.datetime64("2024-10-01")
    shorter = make_windows(prices[prices["date"] <= day], VOLATILITY)
    known = windows.known_by(day)
    assert (known.date <= day).all()
    np.testing.assert_array_equal(known.actual, shorter.known_by(day).actual)
    assert np.isnan(shorter.actual[shorter.date > day]).all()


def test_a_missing_session_makes_the_volatility_around_it_unknown(prices):
    """A return over two sessions is still a return; a volatility over five sessions needs all five ranges."""
    day = np.datetime64("2024-10-01")
    holed = prices[~((prices["date"] == day) & (prices["symbol"] == "UP"))]
    windows = make_windows(holed, VOLATILITY).of("UP")
    around = (windows.origin < day) & (windows.date[:, 1] >= day)
    assert around.sum() == 5
    assert np.isnan(windows.actual[around, 1]).all()
    returns = make_windows(holed, WindowSpec(10, (1, 5))).of("UP")
    assert np.isfinite(returns.actual[around & (returns.date[:, 1] > day), 1]).all()


@pytest.mark.parametrize("name", list(TARGETS))
def test_what_is_scaled_is_restored(name, prices):
    windows = make_windows(prices, WindowSpec(10, (1, 5), name))
    levels = np.repeat(windows.scaled[..., None], 3, axis=-1)
    np.testing.assert_allclose(windows.restored(levels)[..., 1], windows.actual, rtol=1e-9)


def test_chunks_carry_the_scaled_targets_of_their_rows(windows):
    chunks = windows.known_by(windows.origin.max()).chunks(4)
    at = dict(zip(windows.ends, windows.scaled, strict=True))
    rows = chunks.ends[:, None] + np.arange(-3, 1)
    for row, value in zip(rows.ravel(), chunks.targets.reshape(-1, 2), strict=True):
        if np.isfinite(value).all():
            np.testing.assert_allclose(value, at[row], rtol=1e-6)


def test_the_direction_learns_from_returns(prices):
    """One training serves both: the chance of a rise is read off the quantiles of the return."""
    returns, direction = (make_windows(prices, WindowSpec(10, (1, 5), name)) for name in ("return", "direction"))
    np.testing.assert_array_equal(direction.actual, returns.actual)
    np.testing.assert_array_equal(direction.scale, returns.scale)
    assert TARGETS["direction"].kept_as == TARGETS["return"].kept_as == ""


def test_the_command_line_names_every_target():
    assert list(TARGETS) == list(TARGET_NAMES)


def test_every_target_says_what_it_is_judged_by():
    for one in TARGETS.values():
        assert one.meaning
        assert one.unit
        assert one.questions
        assert {"n", "days", "symbols"} < set(one.scores)
    assert TARGETS["return"].questions == (("crps", "random-walk"), ("crps", "gjr-garch"), ("mae", "random-walk"))


def test_an_unknown_target_is_refused():
    message = r"window.target must be one of \['return', 'direction', 'volatility'\], got 'price'"
    with pytest.raises(SettingsError, match=message):
        WindowSpec(target="price")
    with pytest.raises(SettingsError, match=message):
        target("price")


def test_a_range_without_movement_has_a_smallest_volatility(prices):
    still = prices.assign(**dict.fromkeys(("open", "high", "low", "close"), 100.0))
    windows = make_windows(still, VOLATILITY)
    known = windows.actual[np.isfinite(windows.actual)]
    assert known == pytest.approx(np.log(1e-4))
    assert pd.notna(known).all()


def test_what_happened_is_what_windows_hold_without_one(prices):
    """The same actuals as in a panel, rows that are no session left out; a missing session is not made up for."""
    holed = prices[prices["date"] != prices["date"].unique()[40]]
    panel = make_windows(holed, WindowSpec(5, (1, 4)), "24/5").panel
    found = what_happened(holed, (1, 4), "24/5").sort_values(["symbol", "origin", "horizon"])
    assert list(found["symbol"].unique()) == list(panel.symbols)
    np.testing.assert_array_equal(found["actual"].to_numpy().reshape(-1, 2), panel.actual)
    np.testing.assert_array_equal(found["origin"].to_numpy()[::2].astype("datetime64[D]"), panel.date)
